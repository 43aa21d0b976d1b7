"""What the scheduler remembers of a workflow: its jobs and gates (`nodes`), its values, and how far
it has come."""

from collections import deque
from typing import TYPE_CHECKING

from torcd.model import (
    WORKFLOW_OVER,
    DataKey,
    File,
    FileKey,
    FileState,
    JobKey,
    JobStatus,
    Timestamp,
    UserData,
    Workflow,
    WorkflowStatus,
)
from torcd.scheduler.digests import Digests
from torcd.scheduler.nodes import GateNode, JobNode, Queue

if TYPE_CHECKING:
    from torcd.scheduler.actions import Actions


class DataNode:
    __slots__ = (
        "changed_at",
        "data",
        "gate",
        "initial_sha256",
        "is_stored_in_run",
        "revision",
        "sha256",
        "storers",
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
        self.storers: tuple[JobKey, ...] = ()
        """The jobs that have stored it in this run, also where that has opened nothing: an edit may
        say `available: on_store` afterwards."""
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
        "in_vain",
        "jobs",
        "key",
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
        self.key = workflow.key
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
        self.following = 0
        """Jobs that are pending or running and come after others, and take no place yet."""
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
        """How long attempts take, lately, at least 1; None before the first has ended."""
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
    def counts_that_there_are(self) -> dict[JobStatus, int]:
        """The same without the zeros."""
        return {status: count for status, count in self.shown_counts.items() if count}

    @property
    def is_over(self) -> bool:
        return self.status in WORKFLOW_OVER

    @property
    def in_flight(self) -> int:
        """How many jobs are pending or running."""
        return self.counts[JobStatus.PENDING] + self.counts[JobStatus.RUNNING]

    @property
    def starts_jobs(self) -> bool:
        """Neither over, nor paused, nor on its way out; and nothing is to be done before."""
        if self.status is not WorkflowStatus.RUNNING or self.stopping:
            return False
        return self.actions is None or not self.actions.hold_jobs

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
        if counts[JobStatus.READY] or counts[JobStatus.BLOCKED] or self.in_flight:
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
