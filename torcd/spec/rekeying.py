"""The keys of an edited spec: what is there already keeps its own, by name; what is new gets new
ones.

An expansion counts keys without a gap, in the order of the spec. Here they become those that the
workflow is to have: jobs, files and user_data that are known keep theirs, the others follow from
the next key on. Groups have no names; they keep theirs if nothing about them has changed, and are
new otherwise. All lists come in the order of keys: what was there before, then what is new.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from torcd import model

Item = TypeVar("Item", model.File, model.UserData)


class Adder(msgspec.Struct, frozen=True):
    """The job that has added another one, by its name, and the attempt that said so last."""

    by: str
    run_id: int
    attempt_id: int


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow that there is, and the first key that has not been given yet."""

    workflow: model.Workflow
    next_key: int
    adders: Mapping[str, Adder] = {}
    """Of each job that the spec does not have: who added it."""


def keys_of(
    known: Known, sections: Iterable[tuple[Mapping[str, int], Mapping[str, int]]]
) -> dict[int, int]:
    """From the keys of an expansion to those it is to have. `sections`, in their order: names with
    the keys of the expansion, and with those that are known."""
    found: dict[int, int] = {}
    next_key = known.next_key
    for expanded, there in sections:
        for name, key in expanded.items():
            if name in there:
                found[key] = there[name]
            else:
                found[key] = next_key
                next_key += 1
    return found


def names_of(
    workflow: model.Workflow,
) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """The keys of its jobs, files and user_data by name."""
    return (
        {job.name: job.key for job in workflow.jobs},
        {file.name: file.key for file in workflow.files},
        {data.name: data.key for data in workflow.user_data},
    )


def rekeyed(workflow: model.Workflow, known: Known, keys: Mapping[int, int]) -> model.Workflow:
    """The expansion with these keys, and with new ones for its groups; it is its owner's as
    before."""
    groups = [
        msgspec.structs.replace(g, members=tuple(sorted(keys[m] for m in g.members)))
        for g in workflow.groups
    ]
    group_keys = _group_keys(groups, known, max(keys.values(), default=0))
    jobs = [_job(job, keys, group_keys) for job in workflow.jobs]
    return msgspec.structs.replace(
        workflow,
        key=known.workflow.key,
        owner=known.workflow.owner,
        user=workflow.user or known.workflow.user,
        jobs=tuple(sorted(jobs, key=lambda job: job.key)),
        files=_sorted(workflow.files, keys),
        user_data=_sorted(workflow.user_data, keys),
        groups=tuple(msgspec.structs.replace(g, key=group_keys[g.key]) for g in groups),
        actions=tuple(
            msgspec.structs.replace(a, jobs=tuple(sorted(model.JobKey(keys[j]) for j in a.jobs)))
            for a in workflow.actions
        ),
    )


def _group_keys(
    groups: list[model.Group], known: Known, newest: int
) -> dict[model.GroupKey, model.GroupKey]:
    there = known.workflow.groups
    if [(g.kind, g.members) for g in groups] == [(g.kind, g.members) for g in there]:
        return {new.key: old.key for new, old in zip(groups, there, strict=True)}
    first = max(newest + 1, known.next_key)
    return {group.key: model.GroupKey(first + n) for n, group in enumerate(groups)}


def _job(
    job: model.Job, keys: Mapping[int, int], groups: Mapping[model.GroupKey, model.GroupKey]
) -> model.Job:
    def of(named: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(keys[key] for key in named))

    for_each, element = job.for_each, job.element
    if for_each is not None:
        data = model.DataKey(keys[for_each.data])
        for_each = msgspec.structs.replace(for_each, data=data)
    if element is not None:
        element = msgspec.structs.replace(element, of=model.JobKey(keys[element.of]))
    return msgspec.structs.replace(
        job,
        key=keys[job.key],
        for_each=for_each,
        element=element,
        awaits=tuple(sorted(groups[key] for key in job.awaits)),
        depends_on=of(job.depends_on),
        input_files=of(job.input_files),
        output_files=of(job.output_files),
        input_user_data=of(job.input_user_data),
        output_user_data=of(job.output_user_data),
        added=None if job.added is None else _added(job.added, keys),
    )


def _added(added: model.Added, keys: Mapping[int, int]) -> model.Added:
    return msgspec.structs.replace(added, by=model.JobKey(keys[added.by]))


def _sorted(items: tuple[Item, ...], keys: Mapping[int, int]) -> tuple[Item, ...]:
    renewed = [msgspec.structs.replace(item, key=keys[item.key]) for item in items]
    return tuple(sorted(renewed, key=lambda item: item.key))
