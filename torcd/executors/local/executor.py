"""The local executor: the daemon's side of the warden.

It passes orders on and reports back, and keeps what it takes to say everything again (`standing`).
A warden, ours or one that an earlier daemon started, may be gone at any time; then the next one is
told again, and starts what none has claimed.

What a dead warden was running goes on. Because the daemon is a child subreaper and was its warden's
parent, the jobs become the daemon's children, *orphans*. The new warden watches them, but only
their parent can wait for them. So the daemon looks at each SIGCHLD: the status of an orphan that
has ended is told to the warden, and when the warden has it (it is in the journal then, and comes
back as a report), the orphan is reaped. Orphans of a warden that was not our child are not ours to
wait for; their warden learns from a pidfd how they end, if the kernel tells, and while there is no
warden we do (`witness`).

For the same reason an attempt that was claimed, and that is neither running nor in the journal as
ended, was certainly never spawned if its warden was our child: we inherited all that it spawned,
and have reaped none of it. This is what `heir` tells the next warden, which gives it back.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

import anyio
from anyio.abc import TaskStatus

from torcd import __version__, disk
from torcd.errors import ExecutorError
from torcd.executors.base import AttemptOrder, Report, Started
from torcd.executors.local import launching, messages
from torcd.executors.local.heritage import Heritage, has_stopped, reap, when_ended
from torcd.executors.local.link import Link
from torcd.executors.local.messages import PROTOCOL, FromWarden
from torcd.executors.local.standing import StandingOrders
from torcd.executors.local.witness import Witness
from torcd.executors.warden.libc import become_subreaper
from torcd.model import AttemptKey
from torcd.ownership import PRIVATE

ANSWER_SECONDS = 30.0
"""How long a warden may take to say what it knows; a dead one's lock takes up to 10 s."""
FAILURES = 7
"""So many wardens in a row that ended without having done anything end the daemon."""
FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 1.0
WARDEN_BYTES = 2 << 20
"""More than the journal of a new warden takes."""
NO_ROOM_SECONDS = 1.0
"""How long until another try when there is no room for that. Nobody tells when there is."""


class Log(Protocol):
    """What is used of a structlog logger."""

    def info(self, event: str, **facts: object) -> object: ...
    def error(self, event: str, **facts: object) -> object: ...
    def warning(self, event: str, **facts: object) -> object: ...


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
    ) -> None:
        """`ordered_before`: the attempts that earlier executors may have been given and whose ends
        are not on disk; asked for when no warden left a journal.
        `leave_children`: a process that an attempt leaves behind when it ends well is let live.
        `cgroups`: the directory in which attempts get cgroups of their own; empty: they don't.
        `mode`: of its directory; PASSABLE, where other users have files of attempts below it.
        `boot_id`: for tests."""
        self._directory = state_dir.absolute() / "attempts"
        self._log = log
        self._leave_children = leave_children
        self._cgroups = cgroups
        self._ordered_before = ordered_before
        self._mode = mode
        self._boot_id = boot_id if boot_id is not None else launching.read_boot_id()
        self._state_id = 0
        self._report: Callable[[list[Report]], None] = lambda reports: None
        self._link: Link | None = None
        self._child: int | None = None
        """The pid of the warden if we started it, until it is reaped."""
        self._heir = False
        self._has_had_warden = False
        self._worked = False
        """Whether this warden has reported anything new."""
        self._held_up: str | None = None
        self._orders = StandingOrders(lambda: self._link)
        self._heritage: Heritage
        self._witness: Witness

    @property
    def warden_pid(self) -> int | None:
        """None while there is none."""
        link = self._link
        return link.hello.pid if link is not None and link.hello is not None else None

    @property
    def cgroups(self) -> str | None:
        """Where the warden makes cgroups; None: it does not."""
        link = self._link
        return link.hello.cgroups if link is not None and link.hello is not None else None

    @property
    def held_up(self) -> str | None:
        """See `Executor`."""
        return self._held_up

    async def run(
        self,
        report: Callable[[list[Report]], None],
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        self._report = report
        become_subreaper()
        try:
            self._state_id = launching.prepare(self._directory, mode=self._mode)
        except OSError as error:
            if disk.is_no_room(error):
                raise disk.no_space(str(self._directory / "state_id"), "the file") from error
            raise ExecutorError(f"cannot use {self._directory}: {error}") from error
        self._heritage = Heritage(self._state_id)
        self._witness = Witness(self._state_id)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._look_at_children)
        ready = False
        failures = 0
        try:
            while True:
                try:
                    link = await self._reach_warden()
                except OSError as error:
                    if not disk.is_no_room(error):
                        raise ExecutorError(
                            f"cannot reach or start the warden of {self._directory}: {error}; "
                            "mend that and start torcd again: the jobs run on"
                        ) from error
                    link = None
                if link is not None:
                    self._say_everything(link)
                    if not ready:
                        ready = True
                        task_status.started()
                    with when_ended(self._warden_of(link), link.close):
                        await link.closed.wait()
                    self._link = None
                    self._log.warning("warden_lost", problem=str(link.problem or "it ended"))
                if not disk.has_room(str(self._directory), WARDEN_BYTES):
                    # A warden has to write down what it takes over. It is no fault of its own.
                    shortage = disk.no_space(str(self._directory / "warden.journal"), "the journal")
                    if not ready:
                        raise shortage
                    self._be_held_up(shortage.message)
                    await anyio.sleep(NO_ROOM_SECONDS)
                    continue
                failures = 0 if self._worked else failures + 1
                if failures >= FAILURES:
                    raise ExecutorError(
                        f"no warden stays alive; the last words in {self._directory}/warden.log: "
                        + launching.last_words(self._directory)
                    )
                if failures:
                    pause = FIRST_PAUSE_SECONDS * 2 ** (failures - 1)
                    await anyio.sleep(min(pause, LONGEST_PAUSE_SECONDS))
        finally:
            loop.remove_signal_handler(signal.SIGCHLD)
            self._witness.close()
            if self._link is not None:
                self._link.close()
                self._link = None

    def add_environment(self, name: str, variables: Mapping[str, str]) -> None:
        self._orders.add_environment(name, variables)

    def remove_environment(self, name: str) -> None:
        self._orders.remove_environment(name)

    def start(self, orders: Iterable[AttemptOrder]) -> None:
        self._orders.start(orders)

    def stop(self, attempt_key: AttemptKey, grace_seconds: float | None) -> None:
        self._orders.stop(attempt_key, grace_seconds)

    def revoke(self, attempt_key: AttemptKey) -> None:
        self._orders.revoke(attempt_key)

    def freeze(self, attempt_key: AttemptKey) -> None:
        self._orders.freeze(attempt_key)

    def thaw(self, attempt_key: AttemptKey) -> None:
        self._orders.thaw(attempt_key)

    def acknowledge(self, attempts: Iterable[AttemptKey]) -> None:
        self._orders.acknowledge(attempts)

    # The warden: find it, start it, tell it

    async def _reach_warden(self) -> Link | None:
        """A link to a warden that has told all it knows; None: it went away before it had."""
        self._worked = False
        launching.prepare(
            self._directory, self._state_id, mode=self._mode
        )  # it may have been taken away
        connection = launching.connect(self._directory)
        if connection is None:
            await self._bury()
            if launching.is_forgotten(self._directory):
                await self._remember()
            self._child, connection = launching.launch(
                self._directory,
                self._boot_id,
                self._state_id,
                leave_children=self._leave_children,
                heir=self._heir,
                cgroups=self._cgroups,
            )
        self._heritage.learn([])
        link = await Link.over(connection, self._receive)
        try:
            with anyio.fail_after(ANSWER_SECONDS):
                await link.synced.wait()
        except TimeoutError:
            link.close()
            raise ExecutorError(
                f"the warden of {self._directory} does not answer; end it (kill -9) and start again"
            ) from None
        except BaseException:
            link.close()
            raise
        if link.closed.is_set():
            return None
        self._link = link
        self._be_held_up(None)  # or it will say so
        hello = link.hello
        assert hello is not None
        self._heir = hello.pid == self._child
        self._has_had_warden = True
        self._log.info(
            "warden_ready", pid=hello.pid, started_here=self._heir, cgroups=hello.cgroups
        )
        return link

    async def _remember(self) -> None:
        """Nobody can tell which attempts were claimed: the journal is gone. All of them were."""
        claims: dict[int, int | None] = {}
        if self._has_had_warden:
            claims = self._orders.lanes()
        elif self._ordered_before is not None:
            claims = dict.fromkeys(await self._ordered_before())
        if claims:
            self._log.error("the journal of the warden is gone", attempts=len(claims))
            launching.remember(self._directory, self._boot_id, self._state_id, claims)
            self._heir = False  # one that has ended may have been reaped

    def _warden_of(self, link: Link) -> int:
        assert link.hello is not None
        return link.hello.pid

    async def _bury(self) -> None:
        """Wait until our dead warden is gone, so that we have inherited all its children."""
        if self._child is None:
            return
        gone = anyio.Event()
        with when_ended(self._child, gone.set):
            await gone.wait()
        reap(self._child)
        self._child = None

    def _say_everything(self, link: Link) -> None:
        link.send(
            messages.line(hello={"protocol": PROTOCOL, "leave_children": self._leave_children})
        )
        self._orders.repeat()
        if link.hello is not None and link.hello.version != __version__:
            link.send(messages.line(retire=True))  # an earlier version's; the next one is ours
        self._wait_for_orphans()

    # What the warden tells

    def _receive(self, link: Link, message: FromWarden) -> None:
        if message.hello is not None:
            link.hello = message.hello
            if message.hello.protocol != PROTOCOL:
                link.problem = ExecutorError("it speaks another protocol")
                link.close()
                return
        if message.held_up is not None:
            self._be_held_up(message.held_up or None)
        if message.reports:
            self._worked = self._worked or link is self._link
            # What our own warden starts becomes our child, should it die.
            strange = not link.synced.is_set() or self._warden_of(link) != self._child
            self._deliver(message.reports, strange)
        if message.synced is not None:
            self._heritage.learn(message.synced.orphans)
            link.synced.set()

    def _be_held_up(self, problem: str | None) -> None:
        if problem is not None and self._held_up is None:
            self._log.error("no room: nothing can be started", problem=problem)
        elif problem is None and self._held_up is not None:
            self._log.info("there is room again: attempts are started")
        if problem != self._held_up:
            self._held_up = problem
            self._report([])

    def _deliver(self, reports: list[Report], strange: bool) -> None:
        over = []
        for report in reports:
            if type(report) is not Started:
                over.append(report.attempt_key)
            elif strange:
                self._witness.watch(report.attempt_key, report.pid)
        if over:
            reports = self._heritage.settle(self._witness.testify(reports))
            self._witness.forget(over)
            self._orders.forget(over)
        self._report(reports)

    def _look_at_children(self) -> None:
        if self._child is not None and has_stopped(self._child):
            # Nobody starts, ends or is told of anything while it stands still.
            self._log.warning("the warden was stopped (SIGSTOP): it goes on", pid=self._child)
            os.kill(self._child, signal.SIGCONT)
        self._wait_for_orphans()

    def _wait_for_orphans(self) -> None:
        """Look at our children: tell how orphans ended, and reap what else attempts left."""
        if self._link is None:
            return  # which of them are leaders is not known yet
        ended = self._heritage.ended()
        if ended:
            self._orders.send(settled=ended)
        self._heritage.reap_strays(self._child)
