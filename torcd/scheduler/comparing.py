"""What has changed between a workflow and an edit of it: pure.

Both have the same keys for the same names, so things are compared by key. What a job reads and
waits for counts as a set: it makes no difference whether a regex, a placeholder or a list named it,
nor in which order.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from torcd.model import DataKey, File, Job, UserData, Workflow

Kind = Literal["workflow", "job", "file", "user_data"]
How = Literal["added", "removed", "changed"]

RERUN_FIELDS = frozenset(
    {
        "command",
        "depends_on",
        "input_files",
        "output_files",
        "input_user_data",
        "output_user_data",
    }
)
"""A job that has completed is out of date when one of these has changed. The others make nothing
run again."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    kind: Kind
    key: int
    name: str
    how: How
    fields: tuple[str, ...] = ()
    """What has changed, by the names of the spec."""


class Difference(msgspec.Struct, frozen=True):
    """In the order workflow, jobs, files, user_data; of each kind first what is gone, then the
    others in the order of keys."""

    changes: tuple[Change, ...]

    def of(self, kind: Kind, how: How) -> dict[int, Change]:
        """By key."""
        return {c.key: c for c in self.changes if (c.kind, c.how) == (kind, how)}

    def __bool__(self) -> bool:
        return bool(self.changes)


def difference(
    old: Workflow,
    new: Workflow,
    old_values: Mapping[DataKey, str],
    new_values: Mapping[DataKey, str],
) -> Difference:
    """`old_values` and `new_values`: the SHA-256 of the values that the specs give."""
    return Difference(
        (
            *_of_workflow(old, new),
            *_of_jobs(old, new),
            *_of_files(old, new),
            *_of_user_data(old, new, old_values, new_values),
        )
    )


def _of_workflow(old: Workflow, new: Workflow) -> Iterator[Change]:
    fields = [
        name
        for name in (
            "name",
            "description",
            "user",
            "env",
            "directory",
            "actions",
            "failure_handlers",
            "jobs_sort_method",
            "max_retries",
        )
        if getattr(old, name) != getattr(new, name)
    ]
    fields += [
        name
        for name in sorted(old.without_effect.keys() | new.without_effect.keys())
        if _text(old.without_effect.get(name)) != _text(new.without_effect.get(name))
    ]
    if fields:
        yield Change(
            kind="workflow", key=new.key, name=new.name, how="changed", fields=tuple(fields)
        )


def _of_jobs(old: Workflow, new: Workflow) -> Iterator[Change]:
    before = {job.key: job for job in old.jobs}
    after = {job.key: job for job in new.jobs}
    old_sets, new_sets = _Sets(old), _Sets(new)
    for job in old.jobs:
        if job.key not in after:
            yield Change(kind="job", key=job.key, name=job.name, how="removed")
    for job in new.jobs:
        was = before.get(job.key)
        if was is None:
            yield Change(kind="job", key=job.key, name=job.name, how="added")
            continue
        fields = [name for name in _PLAIN if getattr(was, name) != getattr(job, name)]
        if (was.cwd or old.directory) != (job.cwd or new.directory):
            fields.append("cwd")
        for name, one, other in zip(_READS, old_sets.of(was), new_sets.of(job), strict=True):
            if one != other:
                fields.append(name)
        for name in ("output_files", "output_user_data"):
            if set(getattr(was, name)) != set(getattr(job, name)):
                fields.append(name)
        if fields:
            yield Change(
                kind="job", key=job.key, name=job.name, how="changed", fields=tuple(fields)
            )


_PLAIN = (
    "command",
    "cancel_on_blocking_job_failure",
    "supports_termination",
    "priority",
    "env",
    "stdio",
    "resources",
    "failure_handler",
    "scheduler",
)
_READS = ("depends_on", "input_files", "input_user_data")

_Three = tuple[frozenset[int], frozenset[int], frozenset[int]]


class _Sets:
    """What jobs wait for, as sets. Jobs that wait for the same share theirs, so a thousand that
    read a thousand files cost no million steps."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._known: dict[tuple[tuple[int, ...], ...], _Three] = {}

    def of(self, job: Job) -> _Three:
        named = (job.awaits, job.depends_on, job.input_files, job.input_user_data)
        found = self._known.get(named)
        if found is None:
            workflow = self._workflow
            found = (
                frozenset(workflow.depends_on(job)),
                frozenset(workflow.input_files(job)),
                frozenset(workflow.input_user_data(job)),
            )
            self._known[named] = found
        return found


def _of_files(old: Workflow, new: Workflow) -> Iterator[Change]:
    before: dict[int, File] = {file.key: file for file in old.files}
    after = {file.key for file in new.files}
    for file in old.files:
        if file.key not in after:
            yield Change(kind="file", key=file.key, name=file.name, how="removed")
    for file in new.files:
        was = before.get(file.key)
        if was is None:
            yield Change(kind="file", key=file.key, name=file.name, how="added")
        elif was.path != file.path:
            yield Change(kind="file", key=file.key, name=file.name, how="changed", fields=("path",))


def _of_user_data(
    old: Workflow,
    new: Workflow,
    old_values: Mapping[DataKey, str],
    new_values: Mapping[DataKey, str],
) -> Iterator[Change]:
    before: dict[int, UserData] = {data.key: data for data in old.user_data}
    after = {data.key for data in new.user_data}
    for data in old.user_data:
        if data.key not in after:
            yield Change(kind="user_data", key=data.key, name=data.name, how="removed")
    for data in new.user_data:
        was = before.get(data.key)
        if was is None:
            yield Change(kind="user_data", key=data.key, name=data.name, how="added")
            continue
        fields = []
        if old_values.get(data.key) != new_values.get(data.key):
            fields.append("data")
        fields += [
            name
            for name in ("is_ephemeral", "available")
            if getattr(was, name) != getattr(data, name)
        ]
        if _text(was.schema) != _text(data.schema):
            fields.append("schema")
        if fields:
            yield Change(
                kind="user_data", key=data.key, name=data.name, how="changed", fields=tuple(fields)
            )


def _text(raw: msgspec.Raw | None) -> bytes | None:
    return None if raw is None else bytes(raw)
