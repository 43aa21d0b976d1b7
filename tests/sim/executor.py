"""A make-believe executor that keeps the contract of torcd/executors/base.py, and not a bit more.

Orders lie in its mailbox until it reads them; reports lie in `reports` until somebody delivers
them, in whatever order; a stop takes effect when `kill` is called and not before. It checks what
only it can see: that nothing is started twice, and that one lane does not run more than its limit.
"""

import enum
from collections import Counter, deque
from collections.abc import Callable

import msgspec

from torcd.model import AttemptKey, DataKey, FileKey, JobKey, Timestamp, WorkflowKey
from torcd.scheduler.commands import (
    FreezeAttempt,
    RevokeAttempt,
    StartAttempt,
    StartCommand,
    StopAttempt,
    ThawAttempt,
)
from torcd.scheduler.events import (
    AttemptExited,
    AttemptLost,
    AttemptNotStarted,
    AttemptStarted,
    Outputs,
)
from torcd.value import Value


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a job does when it runs, if nobody stops it."""

    return_code: int = 0
    stores: tuple[DataKey, ...] = ()
    """Over the wire, before it ends."""
    writes: tuple[DataKey, ...] = ()
    """To TORC_OUTPUT."""
    missing_files: tuple[FileKey, ...] = ()
    bad_output: str | None = None
    start_problem: str | None = None
    """It cannot even be started."""


class Acknowledge(msgspec.Struct, frozen=True):
    attempt_key: AttemptKey


Start = StartAttempt | StartCommand
Order = Start | StopAttempt | RevokeAttempt | FreezeAttempt | ThawAttempt | Acknowledge
Final = AttemptExited | AttemptNotStarted | AttemptLost
Report = AttemptStarted | Final


class Life(enum.Enum):
    HELD = enum.auto()
    """It comes after another, which is not over."""
    QUEUED = enum.auto()
    RUNNING = enum.auto()
    OVER = enum.auto()


Owner = JobKey | tuple[WorkflowKey, int, int]
"""A job, or a workflow's action and the command of it."""


def owner(order: Start) -> Owner:
    if isinstance(order, StartCommand):
        return order.workflow_key, order.action, order.command
    return order.job.key


class Attempt:
    def __init__(self, order: Start, outcome: Outcome) -> None:
        self.order = order
        self.outcome = outcome
        self.life = Life.QUEUED
        self.is_told_to_stop = False
        self.is_frozen = False
        self.to_store = list(outcome.stores)
        self.started: AttemptStarted | None = None
        self.final: Final | None = None

    @property
    def after(self) -> AttemptKey | None:
        return self.order.after if isinstance(self.order, StartAttempt) else None

    @property
    def waits(self) -> bool:
        return self.life in (Life.QUEUED, Life.HELD)

    @property
    def ended_well(self) -> bool:
        """As far as an executor can tell."""
        return (
            isinstance(self.final, AttemptExited)
            and self.final.return_code == 0
            and not self.is_told_to_stop
            and not self.final.outputs.values
            and self.final.outputs.problem is None
        )

    @property
    def lane(self) -> int:
        key = self.order.workflow_key
        return -key if isinstance(self.order, StartCommand) else key

    @property
    def lane_limit(self) -> int:
        return 1 if isinstance(self.order, StartCommand) else self.order.max_parallel_jobs


class Executor:
    def __init__(self, outcomes: dict[Owner, Outcome], value: Value) -> None:
        self.mailbox: deque[Order] = deque()
        self.reports: list[Report] = []
        self.said: list[Report] = []
        """Every report ever made."""
        self.attempts: dict[AttemptKey, Attempt] = {}
        self.began: set[AttemptKey] = set()
        """Those ever started: of this nothing is forgotten."""
        self.retired: set[AttemptKey] = set()
        """Those whose end was acknowledged."""
        self._outcomes = outcomes
        self._value = value

    def of(self, life: Life) -> list[Attempt]:
        return [attempt for attempt in self.attempts.values() if attempt.life is life]

    # Orders

    def read_order(self, at: Timestamp) -> bool:
        if not self.mailbox:
            return False
        order = self.mailbox.popleft()
        attempt = self.attempts.get(order.attempt_key)
        match order:
            case StartAttempt() | StartCommand():
                assert order.attempt_key not in self.retired, "started again after all was over"
                if attempt is None:
                    outcome = self._outcomes[owner(order)]
                    attempt = self.attempts[order.attempt_key] = Attempt(order, outcome)
                    self._take_its_place(attempt, at)
                else:
                    self._report(attempt.started)
                    self._report(attempt.final)
            case StopAttempt():
                assert attempt is not None or order.attempt_key in self.retired, "stops nobody"
                if attempt is not None and attempt.life is Life.RUNNING:
                    attempt.is_told_to_stop = True
                    attempt.is_frozen = False
                elif attempt is not None and attempt.waits:
                    self._end(attempt, AttemptNotStarted(order.attempt_key, None, at))
            case RevokeAttempt():
                if attempt is not None and attempt.waits:
                    self._end(attempt, AttemptNotStarted(order.attempt_key, None, at))
            case FreezeAttempt():
                assert attempt is not None or order.attempt_key in self.retired, "freezes nobody"
                if attempt is not None and attempt.life is Life.RUNNING:
                    attempt.is_frozen = not attempt.is_told_to_stop
            case ThawAttempt():
                assert attempt is not None or order.attempt_key in self.retired, "thaws nobody"
                if attempt is not None:
                    attempt.is_frozen = False
            case Acknowledge():
                if attempt is not None:
                    assert attempt.life is Life.OVER, "it was acknowledged before it was over"
                    del self.attempts[order.attempt_key]
                    self.retired.add(order.attempt_key)
        return True

    def _take_its_place(self, attempt: Attempt, at: Timestamp) -> None:
        """One that comes after another waits for that, or is over as well."""
        if attempt.after is None:
            return
        leader = self.attempts.get(attempt.after)
        if leader is not None and leader.life is not Life.OVER:
            attempt.life = Life.HELD
        elif leader is None or not leader.ended_well:
            self._end(attempt, AttemptNotStarted(attempt.order.attempt_key, None, at))
        else:
            attempt.life = Life.QUEUED

    # Lives

    def startable(self) -> list[Attempt]:
        """The first of each lane in which there is room."""
        running = Counter(attempt.lane for attempt in self.of(Life.RUNNING))
        heads: dict[int, Attempt] = {}
        for attempt in self.of(Life.QUEUED):
            if running[attempt.lane] < attempt.lane_limit:
                heads.setdefault(attempt.lane, attempt)
        return list(heads.values())

    def begin(self, attempt: Attempt, at: Timestamp) -> None:
        key = attempt.order.attempt_key
        assert key not in self.began, f"attempt {key} was started twice"
        if attempt.outcome.start_problem is not None:
            self._end(attempt, AttemptNotStarted(key, attempt.outcome.start_problem, at))
            return
        self.began.add(key)
        who = owner(attempt.order)
        twins = [a for a in self.of(Life.RUNNING) if owner(a.order) == who]
        assert not twins, f"{who} runs twice at once"
        attempt.life = Life.RUNNING
        attempt.started = AttemptStarted(key, at)
        self._report(attempt.started)
        lane = [a for a in self.of(Life.RUNNING) if a.lane == attempt.lane]
        assert len(lane) <= attempt.lane_limit

    def at_work(self) -> list[Attempt]:
        """Those that run and do not stand still."""
        return [attempt for attempt in self.of(Life.RUNNING) if not attempt.is_frozen]

    def can_end(self) -> list[Attempt]:
        return [attempt for attempt in self.at_work() if not attempt.to_store]

    def end(self, attempt: Attempt, at: Timestamp) -> None:
        """It ends as it would have anyway."""
        outcome = attempt.outcome
        outputs = Outputs(
            values=()
            if outcome.bad_output is not None
            else tuple((key, self._value) for key in outcome.writes),
            missing_files=outcome.missing_files,
            problem=outcome.bad_output,
        )
        self._exit(attempt, outcome.return_code, outputs, at)

    def kill(self, attempt: Attempt, return_code: int, at: Timestamp) -> None:
        """The stop takes effect."""
        assert attempt.is_told_to_stop
        self._exit(attempt, return_code, Outputs(), at)

    def _exit(self, attempt: Attempt, code: int, outputs: Outputs, at: Timestamp) -> None:
        exited = AttemptExited(
            attempt_key=attempt.order.attempt_key,
            return_code=code,
            cpu_seconds=None,
            peak_memory_bytes=None,
            outputs=outputs,
            at=at,
        )
        self._end(attempt, exited)

    # Its own end

    def die(
        self,
        at: Timestamp,
        *,
        forgets_the_queue: bool,
        is_lost: Callable[[], bool] = lambda: True,
    ) -> None:
        """Those that ran are lost, or some of them; the others run on. Those that wait are kept,
        unless the daemon, which would give their orders again to the next executor, has died as
        well."""
        for attempt in self.of(Life.RUNNING):
            if is_lost():
                self._end(attempt, AttemptLost(attempt.order.attempt_key, "nobody knows", at))
        if forgets_the_queue:
            for attempt in [*self.of(Life.QUEUED), *self.of(Life.HELD)]:
                del self.attempts[attempt.order.attempt_key]

    def meet_daemon(self) -> None:
        """A new daemon: tell it every end that has not been acknowledged."""
        for attempt in self.of(Life.OVER):
            self._report(attempt.final)

    def say_everything_again(self) -> None:
        """A new executor: it has read what the last one knew."""
        self.reports = []
        for attempt in self.attempts.values():
            self._report(attempt.started)
            self._report(attempt.final)

    def take_report(self, n: int) -> Report:
        """The one at a place; but before anything is told of what came after another attempt, it is
        told how that ended."""
        attempt = self.attempts.get(self.reports[n].attempt_key)
        while attempt is not None and attempt.after is not None:
            leader = self.attempts.get(attempt.after)
            if leader is not None and leader.final in self.reports:
                n = self.reports.index(leader.final)
            attempt = leader
        return self.reports.pop(n)

    def _end(self, attempt: Attempt, final: Final) -> None:
        attempt.life = Life.OVER
        attempt.final = final
        self._report(final)
        for follower in self.of(Life.HELD):
            if follower.after == attempt.order.attempt_key:
                self._take_its_place(follower, final.at)

    def _report(self, report: Report | None) -> None:
        if report is not None:
            self.reports.append(report)
            self.said.append(report)
