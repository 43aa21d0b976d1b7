"""A job's states.

Each is a record that holds what that state needs, so that "running without an attempt" cannot be
written. The way through them:

    Blocked ──> Ready ──> Pending ──> Running ──> Ended (completed, failed, canceled, terminated)
       │ ^        │ ^        │            │
       │ │        │ └────────┘ taken back before it started (paused); to Blocked, if it must wait
       │ └────────┘ a disabled job that it waits for was enabled again
       ├─────────> Disabled <─ also from Ready; back to Blocked or Ready
       └─────────> Ended     <─ from every state: canceled, or because of what it depends on;
                                or because it turned out to be up to date

From Ended a job comes back to Blocked when its workflow is restarted or the job is retried. One
that says `for_each` never becomes ready: from Blocked it ends when there are jobs for its elements.
"""

from typing import TYPE_CHECKING, ClassVar

import msgspec

from torcd.model import AttemptKey, JobStatus, Reason, Timestamp


class Stop(msgspec.Struct, frozen=True, gc=False):
    """It was told to end, and this is why."""

    return_code: ClassVar[int | None] = None
    """As of a state that says why it is."""
    reason: Reason
    message: str
    is_firm: bool = False
    """Because of a dependency, and although it may have started: nobody can tell yet. It is not
    written down; a new daemon sees it by what else is to stop."""

    @property
    def status(self) -> JobStatus:
        """What it is when it has ended."""
        return JobStatus.TERMINATED if self.reason is Reason.TIMEOUT else JobStatus.CANCELED

    @property
    def ends_the_started(self) -> bool:
        """Whether it holds for an attempt that has started. Because of a dependency only one that
        has not is taken back; what runs, runs on."""
        return self.is_firm or self.reason is not Reason.DEPENDENCY

    def outranks(self, other: "Stop | None") -> bool:
        """Whether it changes anything for a job that was told to end already."""
        return other is None or self._rank > other._rank

    @property
    def _rank(self) -> int:
        return 2 * (self.reason is not Reason.DEPENDENCY) + self.is_firm


class AnyState(msgspec.Struct, frozen=True, gc=False):
    """What can be asked of each state, so that nobody has to know which one it is. One that keeps
    nothing of the kind has none."""

    if TYPE_CHECKING:

        @property
        def status(self) -> JobStatus: ...
        @property
        def follows(self) -> bool: ...
        @property
        def stop(self) -> Stop | None: ...
        @property
        def started_at(self) -> Timestamp | None: ...
        @property
        def ended_at(self) -> Timestamp | None: ...
        @property
        def reason(self) -> Reason | None: ...
        @property
        def message(self) -> str | None: ...
        @property
        def return_code(self) -> int | None: ...
    else:
        follows = False
        stop = started_at = ended_at = reason = message = return_code = None


class Blocked(AnyState, frozen=True, gc=False):
    status: ClassVar = JobStatus.BLOCKED


class Ready(AnyState, frozen=True, gc=False):
    status: ClassVar = JobStatus.READY


class Disabled(AnyState, frozen=True, gc=False):
    status: ClassVar = JobStatus.DISABLED


class Active(AnyState, frozen=True, gc=False):
    """It has an attempt: it is pending or running."""

    attempt_key: AttemptKey


class Pending(Active, frozen=True, gc=False):
    """Its attempt is written down and may start at any moment."""

    status: ClassVar = JobStatus.PENDING
    stop: Stop | None = None
    follows: bool = False
    """It comes after another, and takes no place before that is over (see `following`)."""


class Running(Active, frozen=True, gc=False):
    status: ClassVar = JobStatus.RUNNING
    started_at: Timestamp
    stop: Stop | None = None


class Recovery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An attempt ended badly, and another one is to be made. Until that begins, the job keeps this;
    it is blocked (it rests), ready, or its recovery script is pending or running."""

    until: Timestamp
    """Before that it rests."""
    script: str | None
    """To be run to its end before; None: there is none, or it has been."""
    reason: Reason
    message: str
    return_code: int | None
    """Those of the attempt that ended badly."""


class Ended(AnyState, frozen=True, gc=False):
    """It is over; `ended_as` makes one. There may be one for each job, so the most common end is a
    record of its own, of half the size."""

    started_at: Timestamp | None
    """None: it never started."""
    ended_at: Timestamp | None


class EndedWell(Ended, frozen=True, gc=False):
    """By exit 0."""

    status: ClassVar = JobStatus.COMPLETED
    return_code: ClassVar = 0


class EndedOtherwise(Ended, frozen=True, gc=False):
    status: JobStatus
    reason: Reason | None
    message: str | None
    return_code: int | None


def ended_as(
    status: JobStatus,
    reason: Reason | None,
    message: str | None,
    return_code: int | None,
    started_at: Timestamp | None,
    ended_at: Timestamp | None,
) -> Ended:
    if status is JobStatus.COMPLETED and return_code == 0:
        return EndedWell(started_at, ended_at)
    return EndedOtherwise(started_at, ended_at, status, reason, message, return_code)


class Trace(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the last attempt of a job that completed saw. Digests are numbers of 128 bits, which
    weigh less than as many bytes; `torcd.scheduler.digests` says of what."""

    attempt_key: AttemptKey
    run_id: int
    attempt_id: int
    ended: EndedWell
    definition: int
    given: int | None
    """Of the inputs that no job makes; None, as `made`, if nobody can tell what it saw."""
    made: int | None
    """Of the inputs that jobs make."""
    made_at: int
    """The next attempt's key when it completed: attempts before it did not see what it made."""


State = Blocked | Ready | Pending | Running | Ended | Disabled

BLOCKED = Blocked()
READY = Ready()
DISABLED = Disabled()
