"""Another spec for a workflow there is."""

from typing import Literal

import msgspec

from torcd.model import JobStatus
from torcd.protocol.manager.restarts import ReadingFiles
from torcd.protocol.request import Request

EditOutlook = Literal["will_run", "may_run", "up_to_date", "next_run"]


class Apply(Request["Applied"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take an edited spec into a workflow. All or nothing; answers when it is on disk for good.

    What is in both specs by name keeps its key and what became of it; results of what is removed
    are kept until the workflow is deleted. If the workflow is over, a new run begins of all that is
    out of date, as with `Restart`. If it is not, its run goes on, with the new jobs and those
    changed ones that have not started; an edit of what runs is refused. No difference: nothing
    changes. `dry_run` says what would be done and changes nothing. Admins
    get `Denied` for others' workflows.

    To find out what has changed, files are read. With `more`, it is told in between how far that
    is: in answers that have `progress`."""

    workflow: msgspec.Raw
    """The spec, as in `Submit`. Without a name in it, the workflow keeps its own."""
    directory: str
    """Absolute: where its relative paths are taken from."""
    workflow_key: str | None = None
    dry_run: bool | None = None


class AddJobs(Request["AddedJobs"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job that runs adds jobs to its own workflow. All or nothing; answers when it is on disk for
    good. To say the same again changes nothing; what an attempt says in several calls adds up.

    When the job runs again, what it had added and has not started waits until it is added again;
    what is the same keeps what became of it. When an attempt ends well, jobs that it has not added,
    and earlier ones had, are removed, but for those that run or that other jobs name. Persons have
    `Apply`."""

    workflow: msgspec.Raw
    """As in `Submit`, of these fields: `jobs`, each with a name, `files`, `user_data`,
    `resource_requirements`, `failure_handlers`, and `parameters` for them. They may refer to what
    is in the workflow, and the regexes of jobs that have not started match them."""
    token: str | None = None
    """The job's; without one it is `Denied`."""
    workflow_key: str | None = None
    """The job's own, or absent."""
    directory: str | None = None
    """Absolute: where its relative paths are taken from, and where the jobs run that do not say
    so. Absent: the workflow's own."""


class AddedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job of the call: it is new, or another one than before, or as it was."""

    key: str
    name: str
    change: Literal["added", "changed", "unchanged"]


class AddedJobs(msgspec.Struct, frozen=True, kw_only=True):
    """`items` are the jobs of the call. `earlier` names those that earlier attempts of the job had
    added and this one has not, so far: they will be removed when it has ended well."""

    workflow_key: str
    items: list[AddedJob]
    earlier: list[str]
    warnings: list[str] = []


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A difference between the two specs. `fields` are those of the spec that have changed."""

    kind: Literal["workflow", "job", "file", "user_data"]
    name: str
    change: Literal["added", "removed", "changed"]
    fields: list[str]


class EditedJob(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a job, and why. `will_run`, `may_run` and `up_to_date` as in a restart;
    `next_run`: it is out of date, and runs when the workflow that runs now is over and restarted.
    `status` is that before the edit; null: it is new."""

    key: str
    name: str
    status: JobStatus | None
    outlook: EditOutlook
    reason: str


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """`applied` is false where nothing was changed: it was a `dry_run`, or there is no difference.
    `run_id` is that of the run that has begun, or would; if none begins, the one there is. `items`
    are the jobs in the order of keys: of a workflow that was over, all; of another one, the new and
    the changed ones."""

    workflow_key: str
    applied: bool
    restarted: bool
    """A new run has begun, or would."""
    run_id: int
    changes: list[Change]
    items: list[EditedJob]
    warnings: list[str] = []
    progress: ReadingFiles | None = None
