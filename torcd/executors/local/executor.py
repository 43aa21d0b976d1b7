"""The local executor: runs attempts on this machine, through wardens.

Each has a supervisor, which finds it or starts it, and tells it what is wanted. As a rule there is
one warden; another one is called in where jobs are so short that a CPU would wait for the first
(`sharing`). Who has which attempt is not written down: those that run, that wait and that are over
are told by the wardens themselves, when an executor finds them.

What a dead warden was running goes on: see `children`.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import anyio
import msgspec
from anyio.abc import TaskGroup, TaskStatus

from torcd import disk
from torcd.errors import ExecutorError, TorcError
from torcd.executors.base import AttemptOrder, NotStarted, Report
from torcd.executors.local import launching
from torcd.executors.local.children import Children
from torcd.executors.local.listening import Log, Settings
from torcd.executors.local.messages import Synced
from torcd.executors.local.sharing import Sharing
from torcd.executors.local.supervisor import Supervisor
from torcd.executors.local.together import Together
from torcd.executors.local.witness import Witness
from torcd.executors.warden.libc import become_subreaper
from torcd.model import NO_ATTEMPT, AttemptKey, Timestamp
from torcd.ownership import PRIVATE

MOST_WARDENS = 2
"""Two take as much CPU time for short jobs as the daemon does; more would wait for it."""


class LocalExecutor:
    """An `Executor` (see `torcd.executors.base`) for this machine. `run` must be in the main
    thread, for it handles SIGCHLD, and makes the process a child subreaper."""

    def __init__(
        self,
        state_dir: Path,
        *,
        log: Log,
        leave_children: bool = False,
        boot_id: str | None = None,
        cgroups: str = "",
        ordered_before: Callable[[], Awaitable[Iterable[AttemptKey]]] | None = None,
        mode: int = PRIVATE,
        wardens: int = 1,
    ) -> None:
        """`ordered_before`: the attempts that earlier executors may have been given and whose ends
        are not on disk; asked for when no warden left a journal.
        `leave_children`: a process that an attempt leaves behind when it ends well is let live.
        `cgroups`: the directory in which attempts get cgroups of their own; empty: they don't.
        `mode`: of its directory; PASSABLE, where other users have files of attempts below it.
        `wardens`: so many at most; with cgroups, which take longer than a warden does, one.
        `boot_id`: for tests."""
        self._directory = state_dir.absolute() / "attempts"
        self._log = log
        self._leave_children = leave_children
        self._cgroups = cgroups
        self._ordered_before = ordered_before
        self._mode = mode
        self._most_wardens = 1 if cgroups else wardens
        self._boot_id = boot_id if boot_id is not None else launching.read_boot_id()
        self._together = Together(lambda reports: None)
        first = self._supervisor(0)
        self._supervisors = [first]
        self._known: dict[AttemptKey, int] = {}
        """Attempts that wardens have from an earlier daemon, and that we have yet to order."""
        self._sharing = Sharing(first.orders, self._call_in, self._known)
        self._found: dict[int, Synced] = {}
        """What wardens had to tell, until all that were there before have been reached."""
        self._is_ready = False
        self._is_alone = False
        """There is one warden, and there will be no other."""
        self._tasks: TaskGroup
        self._settings: Settings
        self._witness: Witness
        self._children: Children

    @property
    def warden_pid(self) -> int | None:
        """Of the first one; None while there is none."""
        hello = self._supervisors[0].hello
        return hello.pid if hello is not None else None

    @property
    def cgroups(self) -> str | None:
        """Where the warden makes cgroups; None: it does not."""
        hello = self._supervisors[0].hello
        return hello.cgroups if hello is not None else None

    @property
    def held_up(self) -> str | None:
        """See `Executor`."""
        return next((one.held_up for one in self._supervisors if one.held_up is not None), None)

    async def run(
        self,
        report: Callable[[list[Report]], None],
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        self._together = Together(report)
        become_subreaper()
        try:
            state_id = launching.prepare(self._directory, mode=self._mode)
            launching.dismiss_idle(self._directory, self._boot_id)
            number = launching.wardens(self._directory)
        except OSError as error:
            if disk.is_no_room(error):
                raise disk.no_space(str(self._directory / "state_id"), "the file") from error
            raise ExecutorError(f"cannot use {self._directory}: {error}") from error
        self._is_alone = number == self._most_wardens == 1
        self._settings = Settings(
            home=self._directory,
            boot_id=self._boot_id,
            state_id=state_id,
            leave_children=self._leave_children,
            cgroups=self._cgroups,
            mode=self._mode,
        )
        self._witness = Witness(state_id)
        self._children = Children(self._supervisors, state_id)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._children.look)
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                self._supervisors += [self._supervisor(each) for each in range(1, number)]
                # Where a journal is lost, the next warden claims all that nobody knows.
                for one in sorted(
                    self._supervisors, key=lambda one: launching.is_lost(one.directory)
                ):
                    await tasks.start(one.run, self._settings_of(one), self._witness)
                self._begin()
                task_status.started()
        except BaseExceptionGroup as group:
            raise _first(group) from None
        finally:
            loop.remove_signal_handler(signal.SIGCHLD)
            self._together.close()
            self._witness.close()

    def _begin(self) -> None:
        others = [one.orders for one in self._supervisors[1:]]
        lanes = [self._found[number].lanes for number in range(len(self._supervisors))]
        self._sharing.begin(lanes, *others)
        # What an earlier daemon had the only one run at most is to be lifted.
        self._is_alone = self._is_alone and not lanes[0]
        self._found.clear()
        self._is_ready = True

    def add_environment(self, name: str, variables: Mapping[str, str]) -> None:
        for one in self._supervisors:
            one.orders.add_environment(name, variables)

    def remove_environment(self, name: str) -> None:
        for one in self._supervisors:
            one.orders.remove_environment(name)
        if not self._known:  # else there is more going on than was ordered
            self._sharing.tidy()

    def start(self, orders: Iterable[AttemptOrder]) -> None:
        if self._is_alone:
            self._supervisors[0].orders.start(list(orders))
            return
        for number, those in enumerate(self._sharing.deal(self._fresh(list(orders)))):
            if those:
                self._supervisors[number].orders.start(those)
        self._sharing.given()

    def _fresh(self, orders: list[AttemptOrder]) -> list[AttemptOrder]:
        """Those that no warden has. Of the others the one that has them is reminded."""
        keys = {order.attempt_key for order in orders}
        for number, one in enumerate(self._supervisors):
            again = one.orders.keys() & keys
            found = {key for key in keys & self._known.keys() if self._known[key] == number}
            if again or found:
                theirs = again | found
                one.orders.start([order for order in orders if order.attempt_key in theirs])
                keys -= theirs
        if len(keys) == len(orders):
            return orders
        # Not before all of them are known to be there: shares depend on it.
        for number in range(len(self._supervisors)):
            self._sharing.has(
                number, [o for o in orders if self._known.get(o.attempt_key) == number]
            )
        for order in orders:
            self._known.pop(order.attempt_key, None)
        return [order for order in orders if order.attempt_key in keys]

    def stop(self, attempt_key: AttemptKey, grace_seconds: float | None) -> None:
        for one in self._whom_to_tell(attempt_key):
            one.orders.stop(attempt_key, grace_seconds)

    def revoke(self, attempt_key: AttemptKey) -> None:
        for one in self._whom_to_tell(attempt_key):
            one.orders.revoke(attempt_key)

    def freeze(self, attempt_key: AttemptKey) -> None:
        for one in self._whom_to_tell(attempt_key):
            one.orders.freeze(attempt_key)

    def thaw(self, attempt_key: AttemptKey) -> None:
        for one in self._whom_to_tell(attempt_key):
            one.orders.thaw(attempt_key)

    def acknowledge(self, attempts: Iterable[AttemptKey]) -> None:
        keys = list(attempts)
        for key in self._known.keys() & keys:
            self._sharing.forgotten(self._known.pop(key), key)
        self._sharing.acknowledged(keys)
        self._together.acknowledged(keys)
        # Each takes out what it knows.
        for number, one in enumerate(self._supervisors):
            over = one.orders.acknowledge(keys)
            if over:
                self._sharing.over(number, over)

    def _whom_to_tell(self, attempt_key: AttemptKey) -> list[Supervisor]:
        """Who has it; all, if nobody was given it by us."""
        has_it = [one for one in self._supervisors if attempt_key in one.orders]
        return has_it or self._supervisors

    # The wardens

    def _supervisor(self, number: int) -> Supervisor:
        return Supervisor(
            launching.warden_directory(self._directory, number), self, self._log, self._claims
        )

    def _settings_of(self, one: Supervisor) -> Settings:
        if one is self._supervisors[0]:
            return self._settings
        # A warden removes the cgroups of all attempts but its own.
        return msgspec.structs.replace(self._settings, cgroups="")

    async def _claims(self, supervisor: Supervisor) -> Mapping[int, int | None]:
        if self._ordered_before is None or self._is_ready:  # one that was called in had nothing
            return {}
        before = await self._ordered_before()
        return {key: None for key in before if key not in self._known}

    def _call_in(self) -> None:
        """Have one more warden, if that may be."""
        number = len(self._supervisors)
        hello = self._supervisors[0].hello
        if number >= self._most_wardens or hello is None or not hello.takes_shares:
            return
        settings = self._settings
        try:
            launching.add_warden(self._directory, number, settings.boot_id, settings.state_id)
        except OSError as error:
            self._do_without(error)
            return
        one = self._supervisor(number)
        for name, variables in self._supervisors[0].orders.environments.items():
            one.orders.add_environment(name, variables)
        self._supervisors.append(one)
        self._tasks.start_soon(self._run_called_in, one)

    async def _run_called_in(self, one: Supervisor) -> None:
        try:
            await one.run(self._settings_of(one), self._witness)
        except TorcError as error:
            if one.has_had_warden:
                raise
            self._supervisors.remove(one)  # it was given nothing yet
            self._do_without(error)

    def _do_without(self, error: Exception) -> None:
        self._log.warning("no second warden: the first one does it all", problem=str(error))

    # What they tell: the `Listener` of their supervisors

    def told(
        self,
        supervisor: Supervisor,
        reports: list[Report],
        over: list[AttemptOrder],
        waiting: int | None,
    ) -> None:
        if not self._is_ready:
            number = self._supervisors.index(supervisor)
            self._known.update((report.attempt_key, number) for report in reports)
        if over and not self._is_alone:
            self._sharing.ended(self._supervisors.index(supervisor), over)
        self._together.told(
            supervisor.orders,
            reports,
            ends=[order.attempt_key for order in over],
            waiting=waiting,
            tellers=[one.orders for one in self._supervisors],
        )

    def reached(self, supervisor: Supervisor, synced: Synced) -> None:
        number = self._supervisors.index(supervisor)
        self._together.forget(supervisor.orders)
        if not self._is_ready:
            self._found[number] = synced
            self._known.update((AttemptKey(key), number) for key in synced.queued)
        elif number == self._sharing.parties:
            self._sharing.add(supervisor.orders)
        else:
            self._sharing.is_back(number)

    def shared(self, supervisor: Supervisor, lane: int, token: int, running: list[int]) -> None:
        self._sharing.holds(self._supervisors.index(supervisor), lane, token, running)

    def withdrawn(self, supervisor: Supervisor, attempts: list[AttemptKey]) -> None:
        number = self._supervisors.index(supervisor)
        unwanted = [key for key in attempts if supervisor.orders.is_to_end(key)]
        orders = supervisor.orders.forget(attempts)
        self._sharing.over(number, orders)
        self.start(
            _by_itself(order, self._sharing.limit(order))
            for order in orders
            if order.attempt_key not in unwanted
        )
        self._sharing.answered(number, in_vain=not orders)
        if unwanted:
            now = Timestamp(time.time_ns() // 1000)
            self._together.pass_on([NotStarted(key, at=now, problem=None) for key in unwanted])

    def held_up_changed(self) -> None:
        self._together.pass_on([])

    def informed(self) -> None:
        self._sharing.given()
        self._children.look_at_orphans()


def _by_itself(order: AttemptOrder, lane_limit: int) -> AttemptOrder:
    """What it came after has ended well, or it would be over as well. Of one that an earlier daemon
    has ordered nobody knows what that was, so it is given back (`NotStarted`)."""
    after = order.after
    if after is not None and after.attempt_key != NO_ATTEMPT:
        after = None
    return msgspec.structs.replace(order, after=after, lane_limit=lane_limit)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """One that says what to do, if there is one."""
    errors: list[BaseException] = []
    groups: list[BaseExceptionGroup[BaseException]] = [group]
    while groups:
        for each in groups.pop().exceptions:
            if isinstance(each, BaseExceptionGroup):
                groups.append(each)
            else:
                errors.append(each)
    return next((each for each in errors if isinstance(each, TorcError)), errors[0])
