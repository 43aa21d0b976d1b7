"""The interface io.torcd.Manager: workflows, jobs, results, files, events and the daemon itself.

`workflow_key` absent means the newest workflow. A job is named by its name, its key, or a pattern
(`*`, `?`, `[…]`), tried in this order.
"""

from typing import Literal

import msgspec

from torcd.model import JobStatus, Reason, WorkflowStatus
from torcd.protocol.request import Request

NAME = "io.torcd.Manager"


class Nothing(msgspec.Struct, frozen=True):
    """An answer that says only: done."""


# The daemon


class GetStatus(Request["DaemonStatus"], frozen=True, forbid_unknown_fields=True):
    """Who is there."""


class DaemonStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`workflows` counts those that are running or paused, `jobs` the processes of jobs that run
    now. `warden_pid` is null until the first job needs one."""

    pid: int
    warden_pid: int | None
    version: str
    socket: str
    state_dir: str
    started_at: str
    workflows: int
    jobs: int


class Stop(Request[Nothing], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """End the daemon. `leave`: jobs run on and the next daemon finds them. `terminate`: they are
    canceled first. `wait`: nothing new starts, and it ends when the last of them has. Answers
    when that is under way; the connection closes when it is done."""

    jobs: Literal["leave", "terminate", "wait"] | None = None


# Workflows


class Submit(Request["Submitted"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Create a workflow and start it. All or nothing; answers when it is on disk for good."""

    workflow: msgspec.Raw
    """The spec, as an object of the fields of the spec language."""
    directory: str
    """Absolute: where its relative paths are taken from."""
    default_name: str | None = None
    """Its name where the spec gives none."""
    environment: dict[str, str] | None = None
    """What its jobs inherit."""
    user: str | None = None
    max_parallel_jobs: int | None = None
    """How many of its jobs run at once; absent: as many as the daemon has CPUs."""
    wait_for_inputs: bool | None = None
    """Required files and values that nobody makes are waited for instead of refused."""


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """`key` is the workflow's, `jobs` how many it has."""

    key: str
    name: str
    jobs: int
    warnings: list[str] = []


class WorkflowInfo(msgspec.Struct, frozen=True, kw_only=True):
    """`jobs` counts every state, zeros too."""

    key: str
    name: str
    status: WorkflowStatus
    run_id: int
    jobs: dict[str, int]
    description: str | None
    user: str | None
    directory: str
    max_parallel_jobs: int
    stopping: bool
    """It was canceled, and some of its jobs are still on their way out."""
    submitted_at: str
    started_at: str | None
    ended_at: str | None
    actions: dict[str, int] | None = None
    """How many of its actions are in which state; null in lists of workflows, which do not look."""


class ListWorkflows(Request["WorkflowsReply"], frozen=True, forbid_unknown_fields=True):
    """All workflows, oldest first."""


class WorkflowsReply(msgspec.Struct, frozen=True):
    items: list[WorkflowInfo]


class GetWorkflow(Request["WorkflowReply"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One workflow as it stands."""

    workflow_key: str | None = None


class WorkflowReply(msgspec.Struct, frozen=True):
    workflow: WorkflowInfo


class FollowWorkflow(Request[WorkflowReply], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The workflow as it stands, then again whenever it has changed (changes close together come
    as one), until it is over. Needs `more`."""

    workflow_key: str | None = None


class Cancel(Request["Changed"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cancel jobs and all that depend on them; no job named: the whole workflow. Answers when it
    is accepted; what runs is `stopping` until it is gone."""

    workflow_key: str | None = None
    jobs: list[str] | None = None


class Pause(Request[WorkflowReply], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Start no more of its jobs. What runs, runs on."""

    workflow_key: str | None = None


class Resume(Request[WorkflowReply], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Start its jobs again."""

    workflow_key: str | None = None


class Disable(Request["Changed"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take jobs out that have not started: they count as done."""

    jobs: list[str]
    workflow_key: str | None = None


class Enable(Request["Changed"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Put disabled jobs back to where their dependencies say."""

    jobs: list[str]
    workflow_key: str | None = None


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What a request changed: the names of the jobs, in the order of the spec."""

    workflow_key: str
    jobs: list[str]


# Jobs, results, files


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
    """One attempt. `cpu_seconds` counts all processes that were waited for, `peak_memory_bytes` the
    largest one, and never less than some 15 MB, which the kernel counts from before it began."""

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


class ResultsReply(msgspec.Struct, frozen=True):
    items: list[Result]


class ActionCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command of an action. `number` counts from 1. One that has not begun has no log."""

    number: int
    command: str
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


class ActionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An action as it stands in the newest run. `number` counts those of the spec from 1;
    `jobs` names its set. It is `blocked` until its trigger comes about, `ready` until it begins,
    and then what its newest command is; `canceled` too when it can no longer begin."""

    number: int
    trigger: str
    jobs: list[str]
    status: JobStatus
    stopping: bool
    run_id: int
    commands: list[ActionCommand]


class ListActions(Request["ActionsReply"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The actions of a workflow, in the order of the spec, and what became of their commands."""

    workflow_key: str | None = None


class ActionsReply(msgspec.Struct, frozen=True):
    """The answer to ListActions."""

    items: list[ActionInfo]


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


# Joins


class JoinInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A join: its name for `Join`, and what it pairs with what."""

    name: str
    description: str


class ListJoins(Request["JoinsReply"], frozen=True, forbid_unknown_fields=True):
    """The joins there are."""


class JoinsReply(msgspec.Struct, frozen=True):
    items: list[JoinInfo]


class JoinNode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Either end of a joined pair; which fields it has depends on what it is (a job, a file, a
    user_data, a result). `key` is `_key` on the wire, as torc's documents have it."""

    key: str = msgspec.field(name="_key")
    name: str
    status: JobStatus | None = None
    command: str | list[str] | None = None
    path: str | None = None
    is_ephemeral: bool | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    run_id: int | None = None
    attempt_id: int | None = None
    return_code: int | None = None


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """One pair. `from` is the job."""

    source: JoinNode = msgspec.field(name="from")
    target: JoinNode = msgspec.field(name="to")


class Join(Request["JoinReply"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All pairs of a join, or those whose `from` has the key `key`."""

    name: str
    workflow_key: str | None = None
    key: str | None = None


class JoinReply(msgspec.Struct, frozen=True):
    items: list[Joined]


# Events


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, numbered without gaps. `kind` is one of `workflow_submitted`,
    `workflow_changed`, `job_changed`, `value_stored`, `action_changed`."""

    number: int
    at: str
    kind: str
    workflow_key: str
    job_key: str | None = None
    job_name: str | None = None
    user_data_key: str | None = None
    user_data_name: str | None = None
    action: int | None = None
    """Which one, and which command of it, both from 1."""
    command: int | None = None
    status: str | None = None
    run_id: int | None = None
    attempt_id: int | None = None
    return_code: int | None = None
    reason: Reason | None = None
    message: str | None = None
    revision: int | None = None


class ListEvents(Request["EventsReply"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events from number `since` on, oldest first."""

    workflow_key: str | None = None
    since: int | None = None


class FollowEvents(Request["EventReply"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events from number `since` on, and then each as it happens, one a message. A reader that
    is too slow gets the error Lagged with the number to go on from. Needs `more`."""

    workflow_key: str | None = None
    since: int | None = None


class EventsReply(msgspec.Struct, frozen=True):
    items: list[Event]


class EventReply(msgspec.Struct, frozen=True):
    event: Event
