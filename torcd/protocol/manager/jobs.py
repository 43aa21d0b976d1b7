"""Jobs, their attempts, and the files they read and write."""

from typing import Literal

import msgspec

from torcd.model import JobStatus, Reason
from torcd.protocol.request import Request


class JobInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it stands. Names, not keys, say what it needs and makes."""

    key: str
    name: str
    status: JobStatus
    return_code: int | None
    reason: Reason | None
    message: str | None
    stopping: bool
    """It is on its way out."""
    attempt_id: int | None
    run_id: int
    started_at: str | None
    ended_at: str | None
    command: str | list[str]
    depends_on: list[str]
    input_files: list[str]
    output_files: list[str]
    input_user_data: list[str]
    output_user_data: list[str]
    cancel_on_blocking_job_failure: bool
    supports_termination: bool
    priority: int
    cwd: str
    stdio: Literal["separate", "combined", "none"]
    retry_at: str | None = None
    """It ended badly, as `reason` says, and is tried again then."""
    added_by: str | None = None
    """The job that has added it; null: the spec has it."""
    for_each: str | None = None
    """The user_data for each element of which there is to be a job in its place."""
    element_of: str | None = None
    """The job that said `for_each`, in place of which it is there: for the element of this index,
    from 0, or also of this key in an object."""
    element_index: int | None = None
    element_key: str | None = None


class ListJobs(Request["JobsReply"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Jobs in the order of the spec, filtered by status, and by name, key or pattern."""

    workflow_key: str | None = None
    statuses: list[JobStatus] | None = None
    jobs: list[str] | None = None


class JobsReply(msgspec.Struct, frozen=True):
    items: list[JobInfo]


class Explain(Request["Explanation"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a job is where it is, and what would move it."""

    job: str
    workflow_key: str | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """`waits_for` names each thing that is missing, and on whom it depends."""

    job: JobInfo
    summary: str
    waits_for: list[str]
    remedy: str | None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt. With a cgroup of its own `cpu_seconds` counts all its processes; otherwise those
    that were waited for. `peak_memory_bytes` is the most that all of them took at a time, if the
    cgroup has the memory controller; otherwise that of the largest one, and never less than some
    15 MB, which the kernel counts from before it began."""

    job_key: str
    job_name: str
    run_id: int
    attempt_id: int
    status: JobStatus
    return_code: int | None
    reason: Reason | None
    message: str | None
    started_at: str | None
    ended_at: str | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    stdout: str | None
    stderr: str | None


class ListResults(Request["ResultsReply"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All attempts of the newest run, of run `run_id`, or of all runs; of all jobs or of some."""

    workflow_key: str | None = None
    run_id: int | None = None
    all_runs: bool | None = None
    jobs: list[str] | None = None


class ResultsReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first `removed_runs` runs are kept no more: of those there is only what the present state
    of jobs comes from."""

    items: list[Result]
    removed_runs: int | None = None


class FileInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A declared file and what is on disk of it now. `producers` and `consumers` are names of
    jobs."""

    key: str
    name: str
    path: str
    exists: bool
    size_bytes: int | None
    modified_at: str | None
    producers: list[str]
    consumers: list[str]


class ListFiles(Request["FilesReply"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The files of a workflow, and what is on disk of them."""

    workflow_key: str | None = None


class FilesReply(msgspec.Struct, frozen=True):
    items: list[FileInfo]
