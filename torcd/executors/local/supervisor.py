"""A supervisor: the daemon's side of one warden. It finds the warden of a directory or starts one,
passes orders on and reports back, and starts the next one when it has gone.

A warden, ours or one that an earlier daemon started, may be gone at any time; then the next one is
told everything again (`standing`), and starts what none has claimed. What a dead warden was running
goes on, as children of the daemon's: see `children`.
"""

import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import anyio
from anyio.abc import TaskStatus

from torcd import __version__, disk
from torcd.errors import ExecutorError
from torcd.executors.base import AttemptOrder, Report, Started
from torcd.executors.local import launching, messages
from torcd.executors.local.heritage import Heritage, end_of, has_stopped, reap, when_ended
from torcd.executors.local.link import Link
from torcd.executors.local.listening import Listener, Log, Settings
from torcd.executors.local.messages import PROTOCOL, FromWarden, Hello, Synced
from torcd.executors.local.standing import StandingOrders
from torcd.executors.local.witness import Witness
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


class Supervisor:
    def __init__(
        self,
        directory: Path,
        listener: Listener,
        log: Log,
        claims: Callable[["Supervisor"], Awaitable[Mapping[int, int | None]]],
    ) -> None:
        """`claims`: what its wardens may have claimed, each in its lane if that is known; asked for
        when there is no journal of an earlier warden."""
        self.directory = directory
        self._listener = listener
        self._log = log
        self._claims = claims
        self._link: Link | None = None
        self.child: int | None = None
        """The pid of the warden if we started it, until it is reaped."""
        self._heir = False
        self.has_had_warden = False
        self._worked = False
        """Whether this warden has reported anything new."""
        self.held_up: str | None = None
        """See `Executor`."""
        self.orders = StandingOrders(lambda: self._link)
        self.heritage = Heritage()
        self._settings: Settings
        self._witness: Witness
        self._synced = Synced([])

    @property
    def is_reached(self) -> bool:
        """There is a warden, and which of our children are its attempts is known."""
        return self._link is not None

    @property
    def hello(self) -> Hello | None:
        """Of the warden that is there."""
        return self._link.hello if self._link is not None else None

    @property
    def child_is_over(self) -> bool:
        """The warden has ended, and is not reaped: some of our children may be its jobs."""
        return self.child is not None and end_of(self.child) is not None

    async def run(
        self,
        settings: Settings,
        witness: Witness,
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled; ready when the first warden has told all it knows. Attempts
        outlive it. Raises TorcError when no warden can be had."""
        self._settings, self._witness = settings, witness
        ready = False
        failures = 0
        try:
            while True:
                try:
                    link = await self._reach_warden()
                except OSError as error:
                    if not disk.is_no_room(error):
                        raise ExecutorError(
                            f"cannot reach or start the warden of {self.directory}: {error}; "
                            "mend that and start torcd again: the jobs run on"
                        ) from error
                    link = None
                if link is not None:
                    self._say_everything(link)
                    if not ready:
                        ready = True
                        task_status.started()
                    with when_ended(_warden_of(link), link.close):
                        await link.closed.wait()
                    self._link = None
                    self._log.warning("warden_lost", problem=str(link.problem or "it ended"))
                if not disk.has_room(str(self.directory), WARDEN_BYTES):
                    # A warden has to write down what it takes over. It is no fault of its own.
                    shortage = disk.no_space(str(self.directory / "warden.journal"), "the journal")
                    if not ready:
                        raise shortage
                    self._be_held_up(shortage.message)
                    await anyio.sleep(NO_ROOM_SECONDS)
                    continue
                failures = 0 if self._worked else failures + 1
                if failures >= FAILURES:
                    raise ExecutorError(
                        f"no warden stays alive; the last words in {self.directory}/warden.log: "
                        + launching.last_words(self.directory)
                    )
                if failures:
                    pause = FIRST_PAUSE_SECONDS * 2 ** (failures - 1)
                    await anyio.sleep(min(pause, LONGEST_PAUSE_SECONDS))
        finally:
            if self._link is not None:
                self._link.close()
                self._link = None

    # The warden: find it, start it, tell it

    async def _reach_warden(self) -> Link | None:
        """A link to a warden that has told all it knows; None: it went away before it had."""
        self._worked = False
        settings = self._settings
        # These may have been taken away.
        launching.prepare(settings.home, settings.state_id, mode=settings.mode)
        self.directory.mkdir(mode=PRIVATE, exist_ok=True)
        connection = launching.connect(self.directory)
        if connection is None:
            await self._bury()
            if launching.is_forgotten(self.directory):
                await self._remember()
            self.child, connection = launching.launch(
                self.directory,
                settings.boot_id,
                settings.state_id,
                leave_children=settings.leave_children,
                heir=self._heir,
                cgroups=settings.cgroups,
            )
        self.heritage.learn([])
        link = await Link.over(connection, self._receive)
        try:
            with anyio.fail_after(ANSWER_SECONDS):
                await link.synced.wait()
        except TimeoutError:
            link.close()
            raise ExecutorError(
                f"the warden of {self.directory} does not answer; end it (kill -9) and start again"
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
        self._heir = hello.pid == self.child
        self.has_had_warden = True
        self._log.info(
            "warden_ready", pid=hello.pid, started_here=self._heir, cgroups=hello.cgroups
        )
        return link

    async def _remember(self) -> None:
        """Nobody can tell which attempts were claimed: the journal is gone. All of them were."""
        claims = self.orders.lanes() if self.has_had_warden else await self._claims(self)
        if claims:
            self._log.error("the journal of the warden is gone", attempts=len(claims))
            launching.remember(
                self.directory, self._settings.boot_id, self._settings.state_id, claims
            )
            self._heir = False  # one that has ended may have been reaped

    async def _bury(self) -> None:
        """Wait until our dead warden is gone, so that we have inherited all its children."""
        if self.child is None:
            return
        gone = anyio.Event()
        with when_ended(self.child, gone.set):
            await gone.wait()
        reap(self.child)
        self.child = None

    def _say_everything(self, link: Link) -> None:
        link.send(
            messages.line(
                hello={"protocol": PROTOCOL, "leave_children": self._settings.leave_children}
            )
        )
        self._listener.reached(self, self._synced)
        self.orders.repeat()
        if link.hello is not None and link.hello.version != __version__:
            link.send(messages.line(retire=True))  # an earlier version's; the next one is ours
        self._listener.informed()

    def be_alive(self) -> None:
        """Have the warden go on, should somebody have stopped it: nobody starts, ends or is told of
        anything while it stands still."""
        if self.child is not None and has_stopped(self.child):
            self._log.warning("the warden was stopped (SIGSTOP): it goes on", pid=self.child)
            os.kill(self.child, signal.SIGCONT)

    def tell_of_orphans(self) -> None:
        """How those ended that are our children."""
        ended = self.heritage.ended()
        if ended:
            self.orders.send(settled=ended)

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
        if message.reports or message.waiting is not None:
            self._worked |= bool(message.reports) and link is self._link
            # What our own warden starts becomes our child, should it die.
            strange = not link.synced.is_set() or _warden_of(link) != self.child
            self._deliver(message.reports, strange, message.waiting)
        for lane, token, running in message.shared:
            self._listener.shared(self, lane, token, running)
        if message.withdrawn is not None:
            self._listener.withdrawn(self, [AttemptKey(key) for key in message.withdrawn])
        if message.synced is not None:
            self._synced = message.synced
            self.heritage.learn(message.synced.orphans)
            link.synced.set()

    def _be_held_up(self, problem: str | None) -> None:
        if problem is not None and self.held_up is None:
            self._log.error("no room: nothing can be started", problem=problem)
        elif problem is None and self.held_up is not None:
            self._log.info("there is room again: attempts are started")
        if problem != self.held_up:
            self.held_up = problem
            self._listener.held_up_changed()

    def _deliver(self, reports: list[Report], strange: bool, waiting: int | None) -> None:
        over = []
        orders: list[AttemptOrder] = []
        for report in reports:
            if type(report) is not Started:
                over.append(report.attempt_key)
            elif strange:
                self._witness.watch(report.attempt_key, report.pid)
        if over:
            reports = self.heritage.settle(self._witness.testify(reports))
            self._witness.forget(over)
            orders = self.orders.forget(over)
        self._listener.told(self, reports, orders, waiting)


def _warden_of(link: Link) -> int:
    assert link.hello is not None
    return link.hello.pid
