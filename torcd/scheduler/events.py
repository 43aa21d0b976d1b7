"""What the scheduler is told. Each event carries its time; the scheduler has no clock.

Those named `…Requested` may be refused: `handle` then raises a UserError and nothing has changed.
The others are facts about the world. They may come late, twice, and out of order; one that no
longer applies changes nothing.
"""

from typing import TYPE_CHECKING

import msgspec

from torcd.model import (
    AttemptKey,
    DataKey,
    FileKey,
    FileState,
    JobKey,
    JobStatus,
    Reason,
    SpecChange,
    Timestamp,
    Workflow,
    WorkflowKey,
    WorkflowStatus,
)
from torcd.scheduler.job_states import Recovery, Trace
from torcd.scheduler.state import WorkflowNode
from torcd.value import Value

if TYPE_CHECKING:
    from torcd.scheduler.editing import Edit
    from torcd.scheduler.restarting import Prepared


class SubmitRequested(msgspec.Struct, frozen=True, kw_only=True):
    """A new workflow, with keys from `Scheduler.next_key` on."""

    workflow: Workflow
    max_parallel_jobs: int
    initial_values: dict[DataKey, Value]
    """The parsed `data` of the user_data that have some."""
    absent_files: frozenset[FileKey]
    """Of the files that no job makes: those that are not there."""
    wait_for_inputs: bool
    at: Timestamp
    spec: bytes | None = None
    """What it was made from, to be kept."""


class LoadedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job's state as it was last saved."""

    status: JobStatus
    stopping: bool
    reason: Reason | None
    message: str | None
    return_code: int | None
    attempt_id: int
    """Number of its newest attempt in `run_id`; 0 without any."""
    attempt_key: AttemptKey | None
    """Its active attempt; None unless pending or running."""
    started_at: Timestamp | None
    ended_at: Timestamp | None
    gpus: tuple[int, ...] = ()
    """Those that its active attempt holds."""
    frozen_microseconds: int = 0
    """How long its active attempt has been frozen, before the present freeze if there is one."""
    run_id: int | None = None
    """The run of its newest attempt; None: that of the workflow."""
    trace: Trace | None = None
    recovery: Recovery | None = None
    is_retry_under_way: bool = False
    """Of one that recovers: its next attempt is written down, after which it is no more of use."""
    may_skip: bool = False
    """It need not run if its inputs turn out to be as they were."""


class LoadedValue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a user_data that was ever stored holds."""

    revision: int
    """The newest there was."""
    sha256: str | None
    """None: it was cleared."""
    initial_sha256: str | None = None
    """Of the value that the spec gives; only of ephemeral ones."""
    changed_at: int = 0
    """The next attempt's key when it last became another value."""


class LoadedCommand(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt of an action's command as it was last saved."""

    attempt_key: AttemptKey
    action: int
    command: int
    """Both positions, from 1."""
    status: JobStatus
    reason: Reason | None
    """Of one that has not ended: it was told to end."""
    message: str | None
    return_code: int | None
    started_at: Timestamp | None
    ended_at: Timestamp | None
    """None: it has not ended."""
    frozen_microseconds: int = 0
    """How long it has been frozen, before the present freeze if there is one."""


class WorkflowLoaded(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow as the database has it, after a start or because somebody asks for it."""

    workflow: Workflow
    status: WorkflowStatus
    stopping: bool
    run_id: int
    max_parallel_jobs: int
    wait_for_inputs: bool
    started_at: Timestamp | None
    ended_at: Timestamp | None
    jobs: tuple[LoadedJob, ...]
    """In the order of `workflow.jobs`."""
    action_commands: tuple[LoadedCommand, ...] = ()
    """Those of this run that have begun, in that order."""
    values: dict[DataKey, LoadedValue]
    """Of each user_data that was ever stored."""
    file_states: dict[FileKey, FileState] = {}
    """Of the files that somebody has looked at and that were there."""
    stored_in_run: dict[DataKey, frozenset[JobKey]]
    """Of each user_data that was stored in this run: the jobs that did; empty: people only."""
    absent_files: frozenset[FileKey]
    """Of the files that no job makes: those that are not there. Only asked for when the workflow
    waits for its inputs."""
    archived: bool = False
    frozen_since: Timestamp | None = None
    """Since when what runs of it stands still; None: it does not."""
    at: Timestamp
    built: WorkflowNode | None = None
    """It as `torcd.scheduler.building` builds it, by whoever has time for that."""


class LoadingEnded(msgspec.Struct, frozen=True):
    """All workflows that were not over are loaded. Until then a scheduler that was told that it is
    loading gives nobody a share of the machine, since not all that have one are known."""

    at: Timestamp


class AttemptStarted(msgspec.Struct, frozen=True):
    attempt_key: AttemptKey
    at: Timestamp


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt that ended with exit 0 left behind."""

    values: tuple[tuple[DataKey, Value], ...] = ()
    """What it wrote to TORC_OUTPUT, in order."""
    missing_files: tuple[FileKey, ...] = ()
    """Declared output files that are not there."""
    problem: str | None = None
    """Why TORC_OUTPUT could not be taken; `values` is empty then."""
    files: tuple[tuple[FileKey, FileState | None], ...] = ()
    """Those that it made or read and that were looked at; None: it is not there."""
    inputs_changed: bool = False
    """A file that it read was changed while it ran."""


class AttemptExited(msgspec.Struct, frozen=True, kw_only=True):
    attempt_key: AttemptKey
    return_code: int
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    outputs: Outputs
    at: Timestamp
    ran_out_of_memory: bool = False
    """The kernel has killed it, or a process of it, because memory ran out."""
    withdrawal: "EditRequested | None" = None
    """Of a job that has added others: the workflow without those that it did not add again, if it
    has ended well."""


class AttemptNotStarted(msgspec.Struct, frozen=True):
    """It never ran. `problem` None: it was stopped or revoked before its turn."""

    attempt_key: AttemptKey
    problem: str | None
    at: Timestamp


class AttemptLost(msgspec.Struct, frozen=True):
    """It is over, and nobody can tell how it ended."""

    attempt_key: AttemptKey
    problem: str
    at: Timestamp


class FileAppeared(msgspec.Struct, frozen=True):
    """A file that somebody waits for and that no job makes is there."""

    workflow_key: WorkflowKey
    file_key: FileKey
    at: Timestamp


class StoreRequested(msgspec.Struct, frozen=True, kw_only=True):
    """A value for a user_data: from an attempt, which must be active and have declared it as an
    output, or from a person (`attempt_key` None)."""

    workflow_key: WorkflowKey
    data_key: DataKey
    value: Value
    attempt_key: AttemptKey | None
    at: Timestamp


class CancelRequested(msgspec.Struct, frozen=True, kw_only=True):
    workflow_key: WorkflowKey
    jobs: tuple[JobKey, ...] | None
    """None: the workflow as a whole."""
    at: Timestamp


class PauseRequested(msgspec.Struct, frozen=True):
    workflow_key: WorkflowKey
    at: Timestamp
    freezes: bool = False
    """What runs is to stand still, too."""


class ResumeRequested(msgspec.Struct, frozen=True):
    workflow_key: WorkflowKey
    at: Timestamp


class DisableRequested(msgspec.Struct, frozen=True, kw_only=True):
    workflow_key: WorkflowKey
    jobs: tuple[JobKey, ...]
    absent_files: frozenset[FileKey]
    """Of their output files: those that are not there."""
    at: Timestamp


class EnableRequested(msgspec.Struct, frozen=True, kw_only=True):
    workflow_key: WorkflowKey
    jobs: tuple[JobKey, ...]
    absent_files: frozenset[FileKey] = frozenset()
    """Of their input files: those that are not there."""
    files: dict[FileKey, FileState | None] = {}
    """Of a workflow that is over: its files as they are now."""
    at: Timestamp


class ArchiveRequested(msgspec.Struct, frozen=True, kw_only=True):
    """Put a workflow that is over out of sight, or back."""

    workflow_key: WorkflowKey
    archived: bool
    at: Timestamp


class DeleteRequested(msgspec.Struct, frozen=True):
    """Of a workflow that is over."""

    workflow_key: WorkflowKey
    at: Timestamp


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs are meant to run again, if they have a reason to."""

    jobs: frozenset[JobKey] | None = None
    """None: all. Those that are named run, reason or not; with all that comes after them, if it has
    a reason to."""
    only: bool = False
    """Nothing else, whatever comes after them."""


class RestartRequested(msgspec.Struct, frozen=True, kw_only=True):
    """A new run of a workflow that is over, of what is out of date."""

    workflow_key: WorkflowKey
    selection: Selection
    files: dict[FileKey, FileState | None]
    """Its files as they are now; None: it is not there."""
    at: Timestamp
    prepared: "Prepared | None" = None
    """What came of preparing this before."""


class RetryRequested(msgspec.Struct, frozen=True, kw_only=True):
    """Run jobs that ended badly once more, in the same run, with what was canceled because of
    them."""

    workflow_key: WorkflowKey
    jobs: tuple[JobKey, ...]
    absent_files: frozenset[FileKey]
    """Of the workflow's files: those that are not there."""
    files: dict[FileKey, FileState | None] = {}
    """Of a workflow that is over: its files as they are now."""
    at: Timestamp


class EditRequested(msgspec.Struct, frozen=True, kw_only=True):
    """Another spec for a workflow there is. What is in both has the same key; what is new has keys
    from `Scheduler.next_key` on."""

    workflow_key: WorkflowKey
    workflow: Workflow
    values_before: dict[DataKey, str]
    """The SHA-256 of the values that its spec gives, as it is."""
    values: dict[DataKey, Value]
    """The parsed `data` of the user_data that have some in the new one."""
    files: dict[FileKey, FileState | None]
    """Of the new one: its files as they are now; None: it is not there."""
    at: Timestamp
    spec: SpecChange = SpecChange()
    """What is to be kept of it."""
    attempt_key: AttemptKey | None = None
    """That of the job which asks for it, or has just ended; None: a person does."""
    prepared: "Edit | None" = None
    """What came of checking this before."""


class ElementsMade(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow has jobs for the elements of a value: an answer to `MakeElements`."""

    data_key: DataKey
    sha256: str
    """Of that value."""
    base: Workflow
    """What was expanded again; if it is another one now, all of it is void."""
    edit: EditRequested
    """What it comes to: its spec is what it was."""

    @property
    def workflow_key(self) -> WorkflowKey:
        return self.edit.workflow_key

    @property
    def at(self) -> Timestamp:
        return self.edit.at


class ElementsRefused(msgspec.Struct, frozen=True, kw_only=True):
    """There can be no jobs for the elements of a value, for that reason."""

    workflow_key: WorkflowKey
    data_key: DataKey
    sha256: str | None
    base: Workflow
    message: str
    at: Timestamp


class TimePassed(msgspec.Struct, frozen=True):
    """The moment asked for with `WakeAt` has come."""

    at: Timestamp


class DrainRequested(msgspec.Struct, frozen=True):
    """Start nothing more, of no workflow: the daemon is to end when what runs has ended. Nothing
    of this is written down; the next daemon goes on."""

    at: Timestamp


Event = (
    SubmitRequested
    | WorkflowLoaded
    | LoadingEnded
    | AttemptStarted
    | AttemptExited
    | AttemptNotStarted
    | AttemptLost
    | FileAppeared
    | StoreRequested
    | CancelRequested
    | PauseRequested
    | ResumeRequested
    | DisableRequested
    | EnableRequested
    | ArchiveRequested
    | DeleteRequested
    | RestartRequested
    | RetryRequested
    | EditRequested
    | ElementsMade
    | ElementsRefused
    | TimePassed
    | DrainRequested
)
