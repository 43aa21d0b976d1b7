"""A user_data as the wire has it."""

from collections.abc import Iterable

import msgspec

from torcd.model import DataKey
from torcd.protocol import user_data as u
from torcd.protocol.times import maybe_rfc3339
from torcd.scheduler.state import DataNode, WorkflowNode
from torcd.server.context import Context
from torcd.store.rows import RevisionRow


async def records(context: Context, node: WorkflowNode, keys: Iterable[DataKey]) -> list[u.Record]:
    """The present record of each."""
    found = []
    for key in keys:
        data = node.data[key]
        row = await context.controller.store.value(key) if data.revision else None
        found.append(record(node, data, row))
    return found


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
