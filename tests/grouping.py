"""The same workflow with groups in place of lists: everything has to go as without them."""

from collections.abc import Callable

import msgspec

from torcd.model import Group, GroupKey, Job, Kind, Workflow

_LISTS: tuple[tuple[Kind, str], ...] = (
    ("job", "depends_on"),
    ("file", "input_files"),
    ("user_data", "input_user_data"),
)


def grouped(
    workflow: Workflow,
    chosen: Callable[[tuple[int, ...]], bool] = lambda members: True,
    first: int | None = None,
) -> Workflow:
    """Each list of two or more that is chosen becomes a group; equal ones become one. `first`: the
    key of the first one."""
    if first is None:
        first = workflow.key + workflow.size
    keys: dict[tuple[Kind, tuple[int, ...]], GroupKey] = {}

    def with_groups(job: Job) -> Job:
        awaits = []
        changes: dict[str, object] = {}
        for kind, field in _LISTS:
            members: tuple[int, ...] = tuple(sorted(set(getattr(job, field))))
            if len(members) > 1 and chosen(members):
                awaits.append(keys.setdefault((kind, members), GroupKey(first + len(keys))))
                changes[field] = ()
        return msgspec.structs.replace(job, awaits=tuple(awaits), **changes)

    jobs = tuple(with_groups(job) for job in workflow.jobs)
    groups = tuple(Group(key=k, kind=kind, members=m) for (kind, m), k in keys.items())
    return msgspec.structs.replace(workflow, jobs=jobs, groups=groups)
