"""What has changed between a workflow and an edit of it: pure.

Both have the same keys for the same names, so things are compared by key. What a job reads and
waits for counts as a set: it makes no difference whether a regex, a placeholder or a list named it,
nor in which order.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeVar

import msgspec

from torcd.model import DataKey, File, Job, JobKey, UserData, Workflow

Kind = Literal["workflow", "job", "file", "user_data"]
How = Literal["added", "removed", "changed"]

Item = TypeVar("Item", Job, File, UserData)

RERUN_FIELDS = frozenset(
    {
        "command",
        "depends_on",
        "input_files",
        "output_files",
        "input_user_data",
        "output_user_data",
        "for_each",
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
            "max_dynamic_jobs",
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


def _of_each(
    kind: Kind,
    old: Sequence[Item],
    new: Sequence[Item],
    changed_fields: Callable[[Item, Item], Iterable[str]],
) -> Iterator[Change]:
    before = {item.key: item for item in old}
    after = {item.key for item in new}
    for item in old:
        if item.key not in after:
            yield Change(kind=kind, key=item.key, name=item.name, how="removed")
    for item in new:
        was = before.get(item.key)
        if was is None:
            yield Change(kind=kind, key=item.key, name=item.name, how="added")
        elif fields := tuple(changed_fields(was, item)):
            yield Change(kind=kind, key=item.key, name=item.name, how="changed", fields=fields)


def _of_jobs(old: Workflow, new: Workflow) -> Iterator[Change]:
    old_sets, new_sets = _Sets(old), _Sets(new)

    def changed_fields(was: Job, job: Job) -> Iterator[str]:
        yield from (name for name in _PLAIN if getattr(was, name) != getattr(job, name))
        if _adder(was) != _adder(job):
            yield "added_by"
        if (was.cwd or old.directory) != (job.cwd or new.directory):
            yield "cwd"
        for name, one, other in zip(_READS, old_sets.of(was), new_sets.of(job), strict=True):
            if one != other:
                yield name
        if _folded(was) != _folded(job):
            yield "for_each"
        for name in ("output_files", "output_user_data"):
            if set(getattr(was, name)) != set(getattr(job, name)):
                yield name

    return _of_each("job", old.jobs, new.jobs, changed_fields)


def _adder(job: Job) -> JobKey | None:
    return None if job.added is None else job.added.by


def _folded(job: Job) -> object:
    """Its value, or what its element is."""
    if job.for_each is not None:
        return job.for_each.data
    return None if job.element is None else (job.element.of, job.element.sha256)


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
    return _of_each(
        "file", old.files, new.files, lambda was, file: ("path",) if was.path != file.path else ()
    )


def _of_user_data(
    old: Workflow,
    new: Workflow,
    old_values: Mapping[DataKey, str],
    new_values: Mapping[DataKey, str],
) -> Iterator[Change]:
    def changed_fields(was: UserData, data: UserData) -> Iterator[str]:
        if old_values.get(data.key) != new_values.get(data.key):
            yield "data"
        for name in ("is_ephemeral", "available"):
            if getattr(was, name) != getattr(data, name):
                yield name
        if _text(was.schema) != _text(data.schema):
            yield "schema"

    return _of_each("user_data", old.user_data, new.user_data, changed_fields)


def _text(raw: msgspec.Raw | None) -> bytes | None:
    return None if raw is None else bytes(raw)
