"""What reading gives: rows as structs, keys as numbers, times as microseconds."""

import msgspec

from torcd.model import (
    AttemptKey,
    DataKey,
    Job,
    JobKey,
    JobStatus,
    Owner,
    Reason,
    Timestamp,
    WorkflowKey,
    WorkflowStatus,
)
from torcd.scheduler.events import WorkflowLoaded


class Counters(msgspec.Struct, frozen=True):
    """Where counting goes on."""

    next_key: int
    next_attempt_key: int
    next_happening: int
    commits: int
    """How often the database has been written to."""

    def is_behind(self, other: "Counters") -> bool:
        """Whether any of them has yet to come to where the other's is."""
        return any(
            mine < theirs
            for mine, theirs in zip(
                msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True
            )
        )


class LoadedWorkflow(msgspec.Struct, frozen=True):
    """All that is known of a workflow."""

    event: WorkflowLoaded
    """Its `absent_files` are empty: what is on disk now is for the caller to look at. The `data`
    of its user_data is left out, which may be large; an initial value is revision 1."""
    environment: dict[str, str]
    """What its jobs inherit."""
    boot_ids: dict[AttemptKey, str]
    """Of its active attempts: the boot of the machine in which they were ordered."""


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What another spec of a workflow has taken out, and what became of which is kept."""

    jobs: dict[JobKey, Job]
    user_data: dict[DataKey, str]
    """Their names."""


class Removable(msgspec.Struct, frozen=True, kw_only=True):
    """Runs that a workflow is not to keep."""

    workflow_key: WorkflowKey
    runs: int
    """The first so many."""


class OldAttempt(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One in such a run. Fields in the order in which they are selected."""

    key: AttemptKey
    run_id: int
    job_key: JobKey | None
    action: int | None
    """Of one of the two; of an action, `attempt_id` is the position of the command."""
    attempt_id: int
    is_recovery: bool
    is_referred_to: bool
    """By the present state of its job: it stays."""


class WorkflowRow(msgspec.Struct, frozen=True, kw_only=True):
    key: WorkflowKey
    name: str
    description: str | None
    user: str | None
    owner: Owner | None
    directory: str
    max_parallel_jobs: int
    submitted_at: Timestamp
    status: WorkflowStatus
    stopping: bool
    run_id: int
    started_at: Timestamp | None
    ended_at: Timestamp | None
    archived: bool
    frozen_since: Timestamp | None
    jobs: dict[JobStatus, int] | None
    """How many jobs ended in which state, without the zeros; None while it is not over, when only
    the scheduler knows."""


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Fields in the order in which they are selected."""

    key: AttemptKey
    job_key: JobKey
    run_id: int
    attempt_id: int
    status: JobStatus
    """Pending until it is over: that it runs is only known to the scheduler."""
    reason: Reason | None
    message: str | None
    return_code: int | None
    started_at: Timestamp | None
    ended_at: Timestamp | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None


class CommandRow(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """An attempt of an action's command. Fields in the order in which they are selected."""

    key: AttemptKey
    action: int
    command: int
    """Both positions, from 1."""
    run_id: int
    status: JobStatus
    """Pending until it is over, or told to end."""
    reason: Reason | None
    message: str | None
    return_code: int | None
    started_at: Timestamp | None
    ended_at: Timestamp | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None


class RevisionRow(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A revision of a user_data. `attempt_key` and what follows it are None for an initial value
    or a person's. Fields in the order in which they are selected."""

    data_key: DataKey
    revision: int
    value: memoryview
    """Empty, if there is more of it than what was asked for."""
    size_bytes: int
    sha256: str
    stored_at: Timestamp
    run_id: int
    """0 for an initial value."""
    attempt_key: AttemptKey | None
    attempt_id: int | None
    job_key: JobKey | None
    job_name: str | None
    file: str | None = None
    """In which it is, if it is large."""
