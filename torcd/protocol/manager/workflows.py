"""Workflows: submitted, listed, followed, and told what to do with their jobs."""

import msgspec

from torcd.model import WorkflowStatus
from torcd.protocol.request import Request


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
    doubts: int | None = None
    """How many warnings there are about the spec itself, which `torcctl validate` would tell."""


class WorkflowInfo(msgspec.Struct, frozen=True, kw_only=True):
    """`jobs` counts every state, zeros too."""

    key: str
    name: str
    status: WorkflowStatus
    run_id: int
    jobs: dict[str, int]
    description: str | None
    user: str | None
    """Whatever the spec says."""
    owner: str | None = None
    """The user who submitted it and as whom its jobs run; null where a daemon serves one user."""
    directory: str
    max_parallel_jobs: int
    stopping: bool
    """It was canceled, and some of its jobs are still on their way out."""
    frozen: bool = False
    """It is paused, and what had started stands still, too."""
    submitted_at: str
    started_at: str | None
    ended_at: str | None
    archived: bool = False
    held_up: str | None = None
    """Why none of its jobs can be started, while a disk is full."""
    actions: dict[str, int] | None = None
    """How many of its actions are in which state; null in lists of workflows, which do not look."""


class ListWorkflows(
    Request["WorkflowsReply"], frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """All workflows of the caller (for admins, those of all users), oldest first; those that are
    archived as well where `archived` is true."""

    archived: bool | None = None


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
    """Start no more of its jobs. What runs, runs on; with `stop` it is frozen, all its processes,
    until `Resume`. The time does not count for runtime limits."""

    workflow_key: str | None = None
    stop: bool | None = None


class Resume(Request[WorkflowReply], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Start its jobs again, and let what is frozen go on."""

    workflow_key: str | None = None


class Disable(Request["Changed"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take jobs out that have not started: they count as done. In a workflow that is over also
    such as have run: the next run does without them."""

    jobs: list[str]
    workflow_key: str | None = None


class Enable(Request["Changed"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Put disabled jobs back to where their dependencies say; a workflow that is over goes on."""

    jobs: list[str]
    workflow_key: str | None = None


class Retry(Request["Changed"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Run jobs again that failed, were canceled or terminated, in the same run; a workflow that is
    over goes on. What was canceled because of them is revived, and named with them."""

    jobs: list[str]
    workflow_key: str | None = None


class Archive(Request[WorkflowReply], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Put a workflow that is over out of sight: lists leave it out, and it refuses to run."""

    workflow_key: str | None = None


class Unarchive(Request[WorkflowReply], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Put it back."""

    workflow_key: str


class Delete(Request["Deleted"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Remove a workflow that is over, with its results, values, events and logs. With `force` one
    that is not over is canceled first. Answers when nobody can see it any more, power cut or not;
    its room on disk is given back afterwards."""

    workflow_key: str | None = None
    force: bool | None = None


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """Which workflow is gone."""

    key: str
    name: str


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What a request changed: the names of the jobs, in the order of the spec."""

    workflow_key: str
    jobs: list[str]
