"""What the scheduler remembers.

A job's state is a record that holds what that state needs, so that "running without an attempt"
cannot be written. The way through them:

    Blocked ──> Ready ──> Pending ──> Running ──> Ended (completed, failed, canceled, terminated)
       │ ^        │ ^        │            │
       │ │        │ └────────┘ taken back before it started (paused); to Blocked, if it must wait
       │ └────────┘ a disabled job that it waits for was enabled again
       ├─────────> Disabled <─ also from Ready; back to Blocked or Ready
       └─────────> Ended     <─ from every state: canceled, or because of what it depends on;
                                or because it turned out to be up to date

A job that was added by another one is held, blocked, as long as it is not known whether that one
will add it again: from the moment at which the adder is to run again, or has begun to, until it has
said so, or has ended (`JobNode.is_to_be_held`).

From Ended a job comes back to Blocked when its workflow is restarted or the job is retried. One
that says `for_each` never becomes ready: from Blocked it ends when there are jobs for its elements.

Jobs do not know whom they wait for, only how many gates; gates know their consumers. One event
touches only the jobs behind the gates it moves, so its cost does not grow with the workflow.
"""

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import msgspec

from torcd.model import (
    ENDED_BADLY,
    WORKFLOW_OVER,
    AttemptKey,
    DataKey,
    File,
    FileKey,
    FileState,
    Job,
    JobKey,
    JobStatus,
    Reason,
    Timestamp,
    Trace,
    UserData,
    Workflow,
    WorkflowKey,
    WorkflowStatus,
)
from torcd.scheduler.digests import Digests
from torcd.scheduler.sharing import Share

if TYPE_CHECKING:
    from torcd.scheduler.actions import Actions


class Blocked(msgspec.Struct, frozen=True, gc=False):
    status: ClassVar = JobStatus.BLOCKED
    follows: ClassVar = False


class Ready(msgspec.Struct, frozen=True, gc=False):
    status: ClassVar = JobStatus.READY
    follows: ClassVar = False


class Disabled(msgspec.Struct, frozen=True, gc=False):
    status: ClassVar = JobStatus.DISABLED
    follows: ClassVar = False


class Stop(msgspec.Struct, frozen=True, gc=False):
    """It was told to end, and this is why."""

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


class Pending(msgspec.Struct, frozen=True, gc=False):
    """Its attempt is written down and may start at any moment."""

    status: ClassVar = JobStatus.PENDING
    attempt_key: AttemptKey
    stop: Stop | None = None
    follows: bool = False
    """It comes after another, and takes no place before that is over (see `following`)."""


class Running(msgspec.Struct, frozen=True, gc=False):
    status: ClassVar = JobStatus.RUNNING
    follows: ClassVar = False
    attempt_key: AttemptKey
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


class Ended(msgspec.Struct, frozen=True, gc=False):
    follows: ClassVar = False
    status: JobStatus
    reason: Reason | None
    message: str | None
    return_code: int | None
    started_at: Timestamp | None
    """None: it never started."""
    ended_at: Timestamp | None


State = Blocked | Ready | Pending | Running | Ended | Disabled
Active = Pending | Running
"""It has an attempt. Named, because to put the two together anew takes longer than the question."""

BLOCKED = Blocked()
READY = Ready()
DISABLED = Disabled()


class GateNode:
    """Something jobs wait for. It is open when nothing is missing.

    The gate of a group has members in place of producers: it is closed as long as one of theirs is,
    and spoiled when one of theirs is.
    """

    __slots__ = (
        "consumers",
        "groups",
        "is_input",
        "kind",
        "made",
        "made_at",
        "members",
        "missing",
        "opens_early",
        "producers",
        "spoiled",
        "subject",
    )

    def __init__(self, subject: int, kind: str, *, is_input: bool, opens_early: bool) -> None:
        self.subject = subject
        self.kind = kind
        self.is_input = is_input
        """No job makes it."""
        self.missing = 0
        """Producers that have not finished; for an input, 1 while it is absent; for a group, closed
        members."""
        self.spoiled = False
        """A producer ended badly."""
        self.made = False
        """A producer completed (rather than being disabled)."""
        self.made_at = 0
        """The newest of the traces of its producers."""
        self.opens_early: set[JobKey] | None = set() if opens_early else None
        """For `available: on_store`: the producers that have stored already."""
        self.producers: tuple[JobNode, ...] = ()
        self.consumers: tuple[JobNode, ...] = ()
        self.groups: list[GateNode] | tuple[()] = ()
        """Those of which it is a member. Hardly any gate is, and an empty list has its size."""
        self.members: tuple[GateNode, ...] = ()
        """Of a group."""

    @property
    def all_consumers(self) -> Iterator["JobNode"]:
        """Those of the groups it is in as well; one may come twice."""
        yield from self.consumers
        for group in self.groups:
            yield from group.consumers

    def has_stored(self, producer: "JobNode") -> bool:
        """Whether this producer has lowered the gate already, by storing."""
        return self.opens_early is not None and producer.job.key in self.opens_early


Rank = tuple[float, ...]
"""The lower goes first."""


class Queue:
    """Ready jobs of a workflow that ask for the same."""

    __slots__ = ("heap", "share")

    def __init__(self, share: Share | None) -> None:
        self.share = share
        """None: they ask for nothing."""
        self.heap: list[tuple[Rank, int, JobNode]] = []
        """By rank and position. It may hold jobs that are no longer ready."""


class JobNode:
    __slots__ = (
        "added",
        "adder",
        "attempt_id",
        "awaits",
        "feeds",
        "frozen_microseconds",
        "held",
        "job",
        "may_skip",
        "position",
        "queue",
        "rank",
        "recovery",
        "run_id",
        "state",
        "trace",
        "waits",
    )

    def __init__(self, job: Job, position: int, queue: Queue, rank: Rank) -> None:
        self.job = job
        self.position = position
        self.queue = queue
        """Where it stands when it is ready."""
        self.rank = rank
        self.state: State = BLOCKED
        self.waits = 0
        """How many of the gates it awaits are closed; and one more if it is held."""
        self.adder: JobNode | None = None
        """The job that has added it."""
        self.added: tuple[JobNode, ...] = ()
        """Those that it has added."""
        self.held = False
        self.run_id = 1
        """The run of its newest attempt; without one, of its workflow."""
        self.attempt_id = 0
        """Of its newest attempt in that run; 0 without any."""
        self.trace: Trace | None = None
        """What it saw when it completed last, if it ever did."""
        self.recovery: Recovery | None = None
        self.may_skip = False
        """It need not run if its inputs turn out to be as they were."""
        self.frozen_microseconds = 0
        """How long its active attempt has been frozen, before the present freeze."""
        self.awaits: tuple[GateNode, ...] = ()
        self.feeds: tuple[GateNode, ...] = ()
        """The gates of which it is a producer."""

    @property
    def has_script_to_run(self) -> bool:
        """Its next attempt, or the one under way, is that of a recovery script."""
        return self.recovery is not None and self.recovery.script is not None

    def rests(self, at: Timestamp) -> bool:
        """It is too early for its next attempt."""
        return self.recovery is not None and not self.has_script_to_run and at < self.recovery.until

    @property
    def is_hidden(self) -> bool:
        """There are jobs for its elements, and nothing is wrong with it."""
        return self.job.is_unfolded and self.state.status not in ENDED_BADLY

    @property
    def is_stopping(self) -> bool:
        state = self.state
        return isinstance(state, Active) and state.stop is not None

    @property
    def is_earlier(self) -> bool:
        """Its adder has had an attempt, or is to have one, that has not added it again."""
        adder, added = self.adder, self.job.added
        return (
            adder is not None
            and added is not None
            and (added.run_id, added.attempt_id) != (adder.run_id, adder.attempt_id)
        )

    @property
    def is_to_be_held(self) -> bool:
        adder = self.adder
        if adder is None or isinstance(adder.state, Ended | Disabled):
            return False
        return self.is_earlier


class DataNode:
    __slots__ = (
        "changed_at",
        "data",
        "gate",
        "initial_sha256",
        "is_stored_in_run",
        "revision",
        "sha256",
    )

    def __init__(self, data: UserData) -> None:
        self.data = data
        self.revision = 0
        """The newest there was; the value may have been cleared since."""
        self.sha256: str | None = None
        """Of its value; None: it has none."""
        self.initial_sha256: str | None = None
        """Of the value that the spec gives; only of ephemeral ones, which take it again."""
        self.changed_at = 0
        """The next attempt's key when it last became another value: attempts before it may have
        seen the one before."""
        self.is_stored_in_run = False
        self.gate: GateNode | None = None


MAX_LEADERS = 256
"""Those of longer ago are likely to have ended."""


class WorkflowNode:
    __slots__ = (
        "_data_keys",
        "_job_keys",
        "_makers",
        "actions",
        "archived",
        "asking",
        "being_made",
        "counts",
        "data",
        "digests",
        "ended_at",
        "file_gates",
        "file_states",
        "files",
        "folds",
        "followed_from",
        "following",
        "frozen_since",
        "gates",
        "held_back",
        "held_up_since",
        "in_flight",
        "in_vain",
        "jobs",
        "leaders",
        "max_parallel_jobs",
        "mean_microseconds",
        "ready",
        "retries",
        "run_id",
        "started_at",
        "status",
        "stopping",
        "turns",
        "wait_for_inputs",
        "workflow",
    )

    def __init__(self, workflow: Workflow, max_parallel_jobs: int, wait_for_inputs: bool) -> None:
        self.workflow = workflow
        self.max_parallel_jobs = max_parallel_jobs
        self.wait_for_inputs = wait_for_inputs
        self.status = WorkflowStatus.RUNNING
        self.stopping = False
        """It was canceled as a whole; it will be `canceled` when the last job has ended."""
        self.archived = False
        """It is out of sight, and refuses to run. Only one that is over is."""
        self.frozen_since: Timestamp | None = None
        """Since when what runs of it stands still; None: it does not. It is paused then."""
        self.turns = 0
        """How often something has happened to it, or was about to."""
        self.run_id = 1
        self.retries = 0
        """In this run, of all jobs: attempts after a first one, made or to be made."""
        self.started_at: Timestamp | None = None
        self.ended_at: Timestamp | None = None
        self.jobs: dict[JobKey, JobNode] = {}
        self.data: dict[DataKey, DataNode] = {}
        self.files: dict[FileKey, File] = {file.key: file for file in workflow.files}
        self.file_gates: dict[FileKey, GateNode] = {}
        """Those of files that no job makes."""
        self.file_states: dict[FileKey, FileState] = {}
        """As they were when somebody looked last; without those that were not there."""
        self.gates: dict[int, GateNode] = {}
        """By subject; without groups."""
        self.digests = Digests(self)
        self.actions: Actions | None = None
        """None when there are none."""
        self.folds: list[JobNode] = []
        """The jobs that say `for_each`."""
        self.being_made: set[DataKey] = set()
        """Values of whose elements jobs are to be made: somebody was asked to."""
        self.held_back: set[DataKey] = set()
        """Those for which that would change what runs, so that it is to be tried again."""
        self.counts = dict.fromkeys(JobStatus, 0)
        self.in_flight = 0
        """Jobs that are pending or running."""
        self.following = 0
        """Those of them that come after others, and take no place yet."""
        self.leaders: deque[JobNode] = deque(maxlen=MAX_LEADERS)
        """Chosen jobs that others may be chosen to come after (see `following`)."""
        self.followed_from = 0
        """Before the next attempt has this key, nobody is chosen to come after another."""
        self.in_vain = 0
        """How many of those that were have been given back while what they waited for was under
        way."""
        self.ready = Queue(None)
        """Of the jobs that ask for nothing."""
        self.asking: list[Queue] = []
        """One for each different share that jobs ask for."""
        self.held_up_since: int | None = None
        """How many jobs had been chosen when its first that asks was found not to fit; None while
        it does. See `choosing`."""
        self.mean_microseconds: float | None = None
        """How long attempts take, lately; None before the first has ended."""
        self._job_keys: dict[str, JobKey] | None = None
        self._data_keys: dict[str, DataKey] | None = None
        self._makers: dict[int, list[JobNode]] | None = None

    def become(self, other: "WorkflowNode") -> None:
        """Be what the other is, so that who holds this one has it as it is now."""
        turns = self.turns
        for name in self.__slots__:
            setattr(self, name, getattr(other, name))
        self.turns = turns + 1
        self.digests = Digests(self)

    @property
    def shown_counts(self) -> dict[JobStatus, int]:
        """Without the jobs that nobody sees, since there are jobs for their elements."""
        if not self.folds:
            return self.counts
        counts = dict(self.counts)
        for job in self.folds:
            counts[job.state.status] -= job.is_hidden
        return counts

    @property
    def key(self) -> WorkflowKey:
        return self.workflow.key

    @property
    def is_over(self) -> bool:
        return self.status in WORKFLOW_OVER

    @property
    def starts_jobs(self) -> bool:
        """Neither over, nor paused, nor on its way out; and nothing is to be done before."""
        is_held = self.actions is not None and self.actions.hold_jobs
        return self.status is WorkflowStatus.RUNNING and not self.stopping and not is_held

    @property
    def starts_actions(self) -> bool:
        """Neither over nor paused. On its way out it does what is to be done at the end."""
        return self.status is WorkflowStatus.RUNNING or self.stopping

    @property
    def is_at_work(self) -> bool:
        """Something of it is pending or running: jobs, or the command of an action."""
        actions = self.actions
        return self.in_flight > 0 or (actions is not None and actions.active is not None)

    @property
    def final_status(self) -> WorkflowStatus | None:
        """How it ends, going by its jobs; None as long as one of them has not ended."""
        counts = self.counts
        if self.in_flight or counts[JobStatus.BLOCKED] or counts[JobStatus.READY]:
            return None
        if self.stopping:
            return WorkflowStatus.CANCELED
        done = counts[JobStatus.COMPLETED] + counts[JobStatus.DISABLED]
        return WorkflowStatus.COMPLETED if done == len(self.jobs) else WorkflowStatus.FAILED

    @property
    def job_keys(self) -> dict[str, JobKey]:
        """Jobs by name; made when first asked for, since most workflows never are."""
        if self._job_keys is None:
            self._job_keys = {job.job.name: key for key, job in self.jobs.items()}
        return self._job_keys

    @property
    def data_keys(self) -> dict[str, DataKey]:
        """user_data by name."""
        if self._data_keys is None:
            self._data_keys = {data.data.name: key for key, data in self.data.items()}
        return self._data_keys

    @property
    def makers(self) -> dict[int, list[JobNode]]:
        """Of each file and user_data that jobs make: those jobs. Made when first asked for."""
        if self._makers is None:
            self._makers = {}
            for job in self.jobs.values():
                for subject in {*job.job.output_files, *job.job.output_user_data}:
                    self._makers.setdefault(subject, []).append(job)
        return self._makers
