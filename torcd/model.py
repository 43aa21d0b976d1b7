"""The nouns: what a workflow is made of, and the words for what becomes of it.

Everything here is immutable and knows nothing of files, sockets or clocks. The names are the
words of the workflow spec, of the database's columns and of the wire, one word for each thing.

Keys. Workflows, jobs, files, user_data and groups take their keys from one counter that never goes
back, so a key is never used twice, whatever is deleted. A workflow takes a block of them: itself
first, then its jobs, its files, its user_data and its groups; what an edit adds takes more, in the
same order. Jobs, files and user_data are in the order of their keys. Attempts have keys from a
counter of their own.
"""

import enum
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, NewType, TypeVar, cast

import msgspec

WorkflowKey = NewType("WorkflowKey", int)
JobKey = NewType("JobKey", int)
FileKey = NewType("FileKey", int)
DataKey = NewType("DataKey", int)
GroupKey = NewType("GroupKey", int)
AttemptKey = NewType("AttemptKey", int)
NO_ATTEMPT = AttemptKey(0)
"""Nobody's."""

Key = TypeVar("Key", bound=int)

Timestamp = NewType("Timestamp", int)
"""Microseconds since the Unix epoch, UTC."""


class _Word(enum.Enum):
    """A word for a state. It is a key of many dicts, and each member exists once: so it is hashed
    as the object it is, which takes no Python. Nor does its value, as that of other enums does."""

    __hash__ = object.__hash__

    if not TYPE_CHECKING:
        value = enum.nonmember("")

        def __init__(self, word: str) -> None:
            self.value = word


class JobStatus(_Word):
    """Where a job is in its life."""

    BLOCKED = "blocked"
    """Something it needs is not there yet."""
    READY = "ready"
    """Everything is there; it waits for its turn."""
    PENDING = "pending"
    """Chosen and written down; about to start."""
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    """Never ran, or was stopped because somebody said so."""
    TERMINATED = "terminated"
    """Stopped by its runtime limit."""
    DISABLED = "disabled"
    """Taken out by a person; counts as done."""


ENDED = frozenset(
    {
        JobStatus.COMPLETED,
        JobStatus.FAILED,
        JobStatus.CANCELED,
        JobStatus.TERMINATED,
        JobStatus.DISABLED,
    }
)
ENDED_BADLY = frozenset({JobStatus.FAILED, JobStatus.CANCELED, JobStatus.TERMINATED})


class WorkflowStatus(_Word):
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


WORKFLOW_OVER = frozenset(
    {WorkflowStatus.COMPLETED, WorkflowStatus.FAILED, WorkflowStatus.CANCELED}
)


class Reason(_Word):
    """Why a job ended as it did. A good end has none."""

    EXIT = "exit"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    OOM = "oom"
    LOST = "lost"
    MISSING_OUTPUT = "missing_output"
    BAD_OUTPUT = "bad_output"
    START_FAILED = "start_failed"
    CANCELED = "canceled"
    DEPENDENCY = "dependency"
    SCRIPT = "script"


Stdio = Literal["separate", "combined", "none"]
"""Where a job's standard output and error go: a file each, one file, nowhere."""

Availability = Literal["on_completion", "on_store"]
"""When a produced value lets its consumers start."""


class Resources(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a job asks for. Jobs of one workflow that ask for the same share one of these."""

    num_cpus: int = 1
    memory_bytes: int | None = None
    """None: no limit."""
    num_gpus: int = 0
    num_nodes: int = 1
    """Of no effect on one machine; 1 or more."""
    runtime_seconds: float | None = None
    """How long it may run; None: as long as it likes."""


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """What there is for the jobs that ask, of all workflows together."""

    cpus: int
    memory_bytes: int
    gpus: int
    """Numbered from 0, as CUDA_VISIBLE_DEVICES has them."""


class Added(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A job was added by another one while that ran: by which, and which attempt of it said so
    last."""

    by: JobKey
    run_id: int
    attempt_id: int


class ForEach(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Of a job that becomes one for each element of a value. It stays their gate."""

    data: DataKey
    """The value: a list, or an object."""
    sha256: str | None = None
    """Of the value that its elements were made of; None: they have yet to be."""
    count: int = 0
    """How many elements that one had."""


class Element(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Of a job that was made for one element of a value."""

    of: JobKey
    """The job that says `for_each`."""
    index: int
    """Its place among the elements, from 0."""
    key: str | None = None
    """Under which it is in an object; None: it is in a list."""
    sha256: str
    """Of the element, as of a value."""


NO_VARIABLES: dict[str, str] = {}
"""The `env` of all jobs that have none: an empty dict for each would weigh what a command does. It
stays empty."""


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A job as submitted: what does not change while it runs."""

    key: JobKey
    name: str
    command: str | tuple[str, ...]
    """A text for `bash -c`, or the words of a program executed without a shell."""
    awaits: tuple[GroupKey, ...] = ()
    """What it waits for besides `depends_on`, `input_files` and `input_user_data`. Ask the workflow
    for all that a job waits for and reads: `Workflow.input_files(job)` and so on."""
    depends_on: tuple[JobKey, ...] = ()
    input_files: tuple[FileKey, ...] = ()
    output_files: tuple[FileKey, ...] = ()
    input_user_data: tuple[DataKey, ...] = ()
    output_user_data: tuple[DataKey, ...] = ()
    cancel_on_blocking_job_failure: bool = True
    supports_termination: bool = False
    priority: int = 0
    env: dict[str, str] = {}
    cwd: str | None = None
    """Absolute; None is the workflow's directory."""
    stdio: Stdio = "separate"
    resources: Resources | None = None
    """None: it does not ask, and only the limit of its workflow bounds it."""
    failure_handler: str | None = None
    """The name of one of the workflow's."""
    scheduler: str | None = None
    """The name of one of a cluster's; kept, and of no effect on one machine."""
    has_regexes: bool = False
    """What is added while it waits may be found by them."""
    added: Added | None = None
    """None: the spec has it."""
    for_each: ForEach | None = None
    """It is no job that runs, but the gate of those made for the elements of a value. As long as
    there are none it stands for them, with all that they would make."""
    element: Element | None = None
    """For which one it was made."""

    @property
    def is_unfolded(self) -> bool:
        """Nobody sees it: there are jobs for its elements."""
        return self.for_each is not None and self.for_each.count > 0


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A named path. `path` is absolute."""

    key: FileKey
    name: str
    path: str


class FileState(msgspec.Struct, frozen=True, gc=False):
    """A file as it was when somebody looked at it. Two are of one content if their `sha256` is one;
    as long as the other three are as they were, so is that."""

    size: int
    mtime_ns: int
    inode: int
    sha256: str
    """In hexadecimal."""


class UserData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named JSON value, as declared."""

    key: DataKey
    name: str
    data: msgspec.Raw | None = None
    """The initial value's JSON text; None when there is none."""
    is_ephemeral: bool = False
    available: Availability = "on_completion"
    schema: msgspec.Raw | None = None
    """JSON text of a JSON Schema (2020-12) that values have to fit; None: any value does."""


Kind = Literal["job", "file", "user_data"]


class Group(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Several jobs, files or user_data that several jobs wait for, as one.

    A thousand jobs that all wait for a thousand others are a million pairs; with a group between
    them they are two thousand. Users never see it: it is what a regex has matched.
    """

    key: GroupKey
    kind: Kind
    members: tuple[int, ...]
    """Keys of that kind, in their order; at least two."""


ActionTrigger = Literal[
    "on_workflow_start", "on_workflow_complete", "on_jobs_ready", "on_jobs_complete"
]


class Action(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Commands that run once in each run, when something has come about."""

    trigger: ActionTrigger
    commands: tuple[str, ...]
    """Texts for `bash -c`, in this order, in the workflow's directory."""
    jobs: tuple[JobKey, ...] = ()
    """For `on_jobs_ready` and `on_jobs_complete`: the set, in spec order, never empty. It is ready
    when the last of it has become ready, complete when the last of it has ended."""
    persistent: bool = False
    """torc: several workers may take it, each once. On one machine there is one worker."""


class FailureRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to do after certain bad ends of an attempt."""

    exit_codes: tuple[int, ...] = ()
    """Return codes; one that a signal gave is negative."""
    match_all_exit_codes: bool = False
    """Every return code but 0, signals included."""
    on: tuple[Reason, ...] = ()
    """Other reasons to which it applies: `timeout`, `oom`, `lost`, `missing_output` and so on."""
    recovery_script: str | None = None
    """A text for `bash -c` in the job's directory, run before the retry."""
    max_retries: int = 3
    """How many attempts there are after the first."""
    backoff_seconds: float = 0.0
    """Before the first retry; doubled before each one after it."""
    max_backoff_seconds: float | None = None
    """It is never longer; None: an hour, or `backoff_seconds` where that is longer."""
    jitter: float = 0.0
    """By which part of it it may be shorter or longer, 0 to 1."""


class FailureHandler(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Rules for the jobs that name it; the first that matches applies."""

    name: str
    rules: tuple[FailureRule, ...]


JobsSortMethod = Literal["none", "gpus_runtime_memory", "gpus_memory_runtime"]
"""Which of several ready jobs of one priority goes first: the first in spec order, or the one that
asks for most, compared by these in turn."""


MAX_DYNAMIC_JOBS = 10_000
"""By default. As many as anybody means to add to what is looked at by people; a loop that does not
end is stopped by it before it fills the disk."""


class Owner(msgspec.Struct, frozen=True):
    """The user who submitted a workflow, as whom its jobs run."""

    uid: int
    name: str
    """At that time, for people."""


class Workflow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A workflow as submitted."""

    key: WorkflowKey
    name: str
    jobs: tuple[Job, ...]
    files: tuple[File, ...] = ()
    user_data: tuple[UserData, ...] = ()
    groups: tuple[Group, ...] = ()
    description: str | None = None
    user: str | None = None
    """Whatever the spec says; nothing follows from it."""
    owner: Owner | None = None
    """None: submitted before owners were written down."""
    env: dict[str, str] = {}
    directory: str = "/"
    """Absolute; where relative paths are taken from, and the default working directory."""
    actions: tuple[Action, ...] = ()
    failure_handlers: tuple[FailureHandler, ...] = ()
    jobs_sort_method: JobsSortMethod = "none"
    max_retries: int | None = None
    """How many retries there may be in a run, of all jobs together; None: as many as their handlers
    say."""
    max_dynamic_jobs: int = MAX_DYNAMIC_JOBS
    """How many jobs its jobs may add."""
    without_effect: dict[str, msgspec.Raw] = {}
    """Fields of the spec that are for clusters, kept as JSON."""

    @property
    def size(self) -> int:
        """How many keys it takes when it is submitted."""
        return 1 + len(self.jobs) + len(self.files) + len(self.user_data) + len(self.groups)

    def group(self, key: GroupKey) -> Group:
        return self.groups[key - self.groups[0].key]

    def depends_on(self, job: Job) -> tuple[JobKey, ...]:
        """All jobs that a job of it names as such, each once."""
        return self._named(job, job.depends_on, "job")

    def input_files(self, job: Job) -> tuple[FileKey, ...]:
        """All files that a job of it reads, each once."""
        return self._named(job, job.input_files, "file")

    def input_user_data(self, job: Job) -> tuple[DataKey, ...]:
        """All user_data that a job of it fetches, each once."""
        return self._named(job, job.input_user_data, "user_data")

    def _named(self, job: Job, alone: tuple[Key, ...], kind: Kind) -> tuple[Key, ...]:
        if not job.awaits:
            return alone
        groups = [group for key in job.awaits if (group := self.group(key)).kind == kind]
        theirs = cast("list[Key]", [m for group in groups for m in group.members])
        return tuple(dict.fromkeys([*alone, *theirs]))


Section = Literal["jobs", "files", "user_data", "resource_requirements", "failure_handlers"]


class Addition(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a job has added to the spec of its workflow while it ran."""

    adder: JobKey
    run_id: int
    attempt_id: int
    """Of the adder: the attempt that said so last."""
    section: Section
    name: str
    item: bytes
    """JSON, as in the spec, without parameters."""
    place: int = 0
    """In the section of the call that it came with; not kept."""

    @property
    def full_name(self) -> tuple[str, str]:
        return self.section, self.name

    def is_of(self, adder: JobKey, attempt: tuple[int, int]) -> bool:
        """Whether this attempt (run and number) of that job has said so."""
        return self.adder == adder and (self.run_id, self.attempt_id) == attempt


class KeptSpec(msgspec.Struct, frozen=True):
    """The spec of a workflow, as JSON, and what was added to it."""

    text: bytes
    additions: tuple[Addition, ...]


class SpecChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be kept of it from now on."""

    text: bytes | None = None
    """None: as it is."""
    additions: tuple[Addition, ...] = ()
    """New ones, and others than there were."""
    dropped: tuple[tuple[JobKey, Section, str], ...] = ()
    """Adder, section and name of those that are there no more."""

    def __bool__(self) -> bool:
        return self.text is not None or bool(self.additions or self.dropped)


def spec_change(
    before: KeptSpec | None, text: bytes | None, additions: Iterable[Addition]
) -> SpecChange:
    """From one to the other; `text` None: as it is."""
    old = {} if before is None else {(o.adder, *o.full_name): o for o in before.additions}
    new = {(one.adder, one.section, one.name): one for one in additions}
    return SpecChange(
        text=None if before is not None and text == before.text else text,
        additions=tuple(
            one
            for key, one in new.items()
            if key not in old or msgspec.structs.replace(one, place=0) != old[key]
        ),
        dropped=tuple(
            (one.adder, one.section, one.name) for key, one in old.items() if key not in new
        ),
    )


HappeningKind = Literal[
    "workflow_submitted",
    "workflow_edited",
    "workflow_changed",
    "workflow_deleted",
    "job_changed",
    "job_up_to_date",
    "value_stored",
    "value_cleared",
    "action_changed",
]


class Happening(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Something that happened to a workflow: what the feed tells, and what is kept of it."""

    number: int
    """Counted from 1 without gaps; those of a workflow that is deleted go with it."""
    at: Timestamp
    kind: HappeningKind
    workflow_key: WorkflowKey
    job_key: JobKey | None = None
    data_key: DataKey | None = None
    action: int | None = None
    command: int | None = None
    """Positions from 1: which command of which action."""
    status: str | None = None
    """The value of a JobStatus or a WorkflowStatus."""
    stopping: bool = False
    run_id: int | None = None
    attempt_id: int | None = None
    return_code: int | None = None
    reason: Reason | None = None
    message: str | None = None
    revision: int | None = None
