"""A user_data as the wire has it."""

from collections.abc import Iterable

import msgspec

from torcd import errors
from torcd.model import DataKey
from torcd.protocol import user_data as u
from torcd.protocol.times import maybe_rfc3339
from torcd.scheduler.state import DataNode, WorkflowNode
from torcd.server.context import Context
from torcd.store.rows import RevisionRow

MAX_VALUES_BYTES = 128 << 20
"""Of all values in one answer, which has to be in memory whole, and twice while it is made."""


async def records(context: Context, node: WorkflowNode, keys: Iterable[DataKey]) -> list[u.Record]:
    """The present record of each. Raises TooLarge."""
    found = []
    size = 0
    for key in keys:
        data = node.data[key]
        row = await context.controller.store.value(key) if data.revision else None
        size += 0 if row is None else len(row.value)
        if size > MAX_VALUES_BYTES:
            raise too_large(data.data.name)
        found.append(record(node, data, row))
    return found


async def history(context: Context, node: WorkflowNode, key: DataKey) -> list[u.Record]:
    """All revisions, oldest first. Raises TooLarge."""
    data = node.data[key]
    rows = await context.controller.store.revisions_within(key, MAX_VALUES_BYTES)
    if rows is None:
        raise too_large(data.data.name)
    return [record(node, data, row) for row in rows]


def too_large(name: str) -> errors.TooLarge:
    return errors.TooLarge(
        f"the values together have more than {MAX_VALUES_BYTES} bytes, from {name!r} on; "
        "fetch them one by one",
        name=name,
        limit_bytes=MAX_VALUES_BYTES,
    )


def record(node: WorkflowNode, data: DataNode, row: RevisionRow | None) -> u.Record:
    """One revision of a user_data; None: it has no value yet."""
    if row is None:
        return u.Record(
            key=str(data.data.key),
            name=data.data.name,
            workflow_key=str(node.key),
            is_ephemeral=data.data.is_ephemeral,
        )
    stored_by = None
    if row.attempt_key is not None and row.job_key is not None:
        stored_by = u.StoredBy(
            job_key=str(row.job_key),
            job_name=row.job_name or "",
            run_id=row.run_id,
            attempt_id=row.attempt_id or 0,
        )
    return u.Record(
        key=str(data.data.key),
        name=data.data.name,
        workflow_key=str(node.key),
        is_ephemeral=data.data.is_ephemeral,
        data=msgspec.Raw(row.value),
        revision=row.revision,
        sha256=row.sha256,
        stored_at=maybe_rfc3339(row.stored_at),
        stored_by=stored_by,
    )
