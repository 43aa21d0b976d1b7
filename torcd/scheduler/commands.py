"""What the scheduler wants done: first what must be on disk, then what is to happen.

The controller commits all `Save…`, `Create…`, `Edit…`, `Add…`, `Clear…` and `Remove…` commands of
a batch before it carries out any of the others. Both in the order in which they are given: an
attempt may be started and stopped in one batch, and a number taken back and given again.
"""

import msgspec

from torcd.model import (
    AttemptKey,
    DataKey,
    File,
    FileKey,
    FileState,
    Happening,
    Job,
    JobKey,
    JobStatus,
    Reason,
    SpecChange,
    Timestamp,
    UserData,
    Workflow,
    WorkflowKey,
    WorkflowStatus,
)
from torcd.scheduler.job_states import Recovery, Trace
from torcd.scheduler.sharing import Share
from torcd.value import Value

# To be written down


class CreateWorkflow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The workflow, its jobs (as blocked), files and user_data. Its status is running."""

    workflow: Workflow
    max_parallel_jobs: int
    wait_for_inputs: bool
    next_key: int
    """Where the counter of keys stands now."""
    at: Timestamp
    spec: bytes | None = None
    """As it was submitted, to be kept."""


class EditWorkflow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """It has another spec. What is removed is kept, out of sight, with all that became of it."""

    workflow: Workflow
    """As it is now. Of its jobs, files and user_data only those below are to be written."""
    jobs: tuple[Job, ...]
    """New ones, and those of which anything has changed."""
    files: tuple[File, ...]
    user_data: tuple[UserData, ...]
    removed_jobs: tuple[JobKey, ...]
    removed_files: tuple[FileKey, ...]
    removed_user_data: tuple[DataKey, ...]
    next_key: int
    """Where the counter of keys stands now."""
    at: Timestamp
    spec: SpecChange = SpecChange()


class SaveWorkflow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    workflow_key: WorkflowKey
    status: WorkflowStatus
    stopping: bool
    run_id: int
    started_at: Timestamp | None
    ended_at: Timestamp | None
    frozen_since: Timestamp | None = None
    """Since when what runs of it stands still; None: it does not."""
    at: Timestamp
    archived: bool = False
    job_counts: dict[JobStatus, int] | None = None
    """If it is over: how many jobs that are seen are in which state, without the zeros."""


class RemoveWorkflow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """It is over, and nobody is to see it again."""

    workflow_key: WorkflowKey
    at: Timestamp


class SaveJob(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    workflow_key: WorkflowKey
    job_key: JobKey
    status: JobStatus
    stopping: bool
    reason: Reason | None
    message: str | None
    return_code: int | None
    run_id: int
    attempt_id: int
    started_at: Timestamp | None
    ended_at: Timestamp | None
    at: Timestamp
    trace: Trace | None = None
    """What it saw when it completed last. Of it, the attempt and the digests are to be kept."""
    recovery: Recovery | None = None
    """Why and when another attempt is to be made; it ended badly, though its status says nothing
    of that."""
    may_skip: bool = False
    """It need not run if its inputs turn out to be as they were."""


class AddAttempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The intent to start: once it is on disk, this attempt may start, and no other in its place.
    Its status is pending."""

    attempt_key: AttemptKey
    workflow_key: WorkflowKey
    job_key: JobKey
    run_id: int
    attempt_id: int
    gpus: tuple[int, ...] = ()
    """Those it holds until it is over."""
    is_recovery: bool = False
    """It is that of a recovery script, run because of the attempt of that number."""


class AddCommand(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The same for a command of an action."""

    attempt_key: AttemptKey
    workflow_key: WorkflowKey
    run_id: int
    action: int
    """Its position in the spec, from 1."""
    command: int
    """Its position in the action, from 1."""


class SaveAttempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of an attempt: it is over; or, of an action's command, it was told to end."""

    attempt_key: AttemptKey
    status: JobStatus
    reason: Reason | None
    message: str | None
    return_code: int | None
    started_at: Timestamp | None
    ended_at: Timestamp | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None


class SaveFrozenTime(msgspec.Struct, frozen=True, gc=False):
    """How long an attempt has been frozen, in all; it is about to go on."""

    attempt_key: AttemptKey
    microseconds: int
    """At least 1: that it was frozen at all counts as well."""


class RemoveAttempt(msgspec.Struct, frozen=True, gc=False):
    """It was taken back before it started, as if it had never been."""

    attempt_key: AttemptKey


class SaveValue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A new revision of a user_data."""

    workflow_key: WorkflowKey
    data_key: DataKey
    revision: int
    value: Value
    run_id: int
    attempt_key: AttemptKey | None
    """Who stored it; None: a person, or the spec."""
    at: Timestamp
    changed_at: int = 0
    """The next attempt's key when it last became another value."""


class SaveInitialAgain(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A new revision of a user_data: the value that the spec gave, once more, and in no run."""

    workflow_key: WorkflowKey
    data_key: DataKey
    revision: int
    changed_at: int
    at: Timestamp


class ClearValue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A user_data has no value from now on; its revisions are kept."""

    workflow_key: WorkflowKey
    data_key: DataKey


class SaveFile(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known of a file; None: it is not there."""

    workflow_key: WorkflowKey
    file_key: FileKey
    state: FileState | None


# To be done


class StartAttempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Start it, or, where it is known already, report on it again."""

    attempt_key: AttemptKey
    workflow_key: WorkflowKey
    job: Job
    run_id: int
    attempt_id: int
    max_parallel_jobs: int
    share: Share | None = None
    """What it gets of what it asks for; None: it does not ask."""
    gpus: tuple[int, ...] = ()
    """Which ones."""
    after: AttemptKey | None = None
    """Not before this one has ended well; should it not, never. NO_ATTEMPT: it must be known
    already."""


class StartRecovery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The same for a recovery script, because of an attempt that ended badly."""

    attempt_key: AttemptKey
    workflow_key: WorkflowKey
    job: Job
    run_id: int
    attempt_id: int
    """Of that one, as are `reason` and `return_code`."""
    max_parallel_jobs: int
    script: str
    reason: Reason
    return_code: int | None


class StartCommand(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The same for a command of an action; `action` and `command` are positions, from 1."""

    attempt_key: AttemptKey
    workflow_key: WorkflowKey
    run_id: int
    action: int
    command: int


class RevokeAttempt(msgspec.Struct, frozen=True, gc=False):
    """Take it back if it has not started; otherwise let it run."""

    attempt_key: AttemptKey


class StopAttempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """End it, whether it has started or not."""

    attempt_key: AttemptKey
    supports_termination: bool


class FreezeAttempt(msgspec.Struct, frozen=True, gc=False):
    """Have it stand still, with all its processes. It has started, or did once."""

    attempt_key: AttemptKey


class ThawAttempt(msgspec.Struct, frozen=True, gc=False):
    """Let it go on, if it is frozen."""

    attempt_key: AttemptKey


class WakeAt(msgspec.Struct, frozen=True, gc=False):
    """Say `TimePassed` then. The newest holds."""

    at: Timestamp | None
    """None: there is nothing to wait for."""


class WatchFile(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Tell when it appears (it may have)."""

    workflow_key: WorkflowKey
    file_key: FileKey
    path: str


class MakeElements(msgspec.Struct, frozen=True):
    """Say `ElementsMade`: the workflow with jobs for the elements of this value, as it is now; or
    `ElementsRefused`."""

    workflow_key: WorkflowKey
    data_key: DataKey


Record = (
    CreateWorkflow
    | EditWorkflow
    | SaveWorkflow
    | RemoveWorkflow
    | SaveJob
    | AddAttempt
    | AddCommand
    | SaveAttempt
    | SaveFrozenTime
    | RemoveAttempt
    | SaveValue
    | SaveInitialAgain
    | ClearValue
    | SaveFile
)
Start = StartAttempt | StartRecovery | StartCommand
OtherAction = (
    RevokeAttempt | StopAttempt | FreezeAttempt | ThawAttempt | WatchFile | WakeAt | MakeElements
)
Action = Start | OtherAction
Command = Record | Action | Happening
"""A `Happening` is to be kept with the records and told when they are on disk."""
