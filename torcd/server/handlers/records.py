"""A user_data as the wire has it."""

from collections.abc import Iterable, Sequence
from functools import partial

import msgspec

from torcd import errors
from torcd.model import DataKey, UserData
from torcd.protocol import user_data as u
from torcd.protocol.times import maybe_rfc3339
from torcd.scheduler.commands import Command, SaveValue
from torcd.scheduler.nodes import JobNode
from torcd.scheduler.state import DataNode, WorkflowNode
from torcd.server.answers import LATER, Later, Listing
from torcd.server.context import Context
from torcd.store.rows import RevisionRow

FREE_BYTES = 8 << 10
"""A value of this size is sent without asking for room."""

AT_ONCE_BYTES = 512 << 10
"""Of values that a list holds from the beginning; the others are read when they are written."""

MAX_VALUES_BYTES = 128 << 20
"""Of all values in one list, which its reader has to have in memory whole."""


async def records(
    context: Context,
    node: WorkflowNode,
    keys: Iterable[DataKey],
    at_once_bytes: int = AT_ONCE_BYTES,
) -> Listing:
    """The present record of each. Raises TooLarge."""
    rows = []
    for key in keys:
        data = node.data[key]
        row = None
        if data.sha256 is not None:
            row = await context.controller.store.value(key, max_bytes=FREE_BYTES)
        rows.append((data, row))
    return _records(context, node, rows, at_once_bytes)


async def history(context: Context, node: WorkflowNode, key: DataKey) -> Listing:
    """All revisions, oldest first. Raises TooLarge."""
    data = node.data[key]
    rows = await context.controller.store.revisions(key, max_bytes=FREE_BYTES)
    return _records(context, node, [(data, row) for row in rows], AT_ONCE_BYTES)


def _records(
    context: Context,
    node: WorkflowNode,
    rows: list[tuple[DataNode, RevisionRow | None]],
    at_once_bytes: int,
) -> Listing:
    files = context.controller.store.files
    items: list[u.Record] = []
    later: dict[int, Later] = {}
    size = 0
    for data, row in rows:
        item = record(node, data, row)
        if row is not None:
            size += row.size_bytes
            if size > MAX_VALUES_BYTES:
                raise too_large(data.data.name)
            is_lost = row.file is not None and not files.has(row.file, row.size_bytes)
            if len(row.value) == row.size_bytes <= at_once_bytes:
                at_once_bytes -= row.size_bytes
            elif not is_lost:  # else it is told about without its value
                read = partial(_read, context, data, row.revision)
                later[len(items)] = Later(row.size_bytes, read)
                item = msgspec.structs.replace(item, data=LATER)
        items.append(item)
    return Listing(items, later)


async def _read(context: Context, data: DataNode, revision: int) -> memoryview:
    row = await context.controller.store.value(data.data.key, revision)
    if row is None:
        raise errors.NotFound(
            f'user_data "{data.data.name}" is gone meanwhile', name=data.data.name
        )
    return row.value


def too_large(name: str) -> errors.TooLarge:
    return errors.TooLarge(
        f"the values together have more than {MAX_VALUES_BYTES} bytes, from {name!r} on; "
        "fetch them one by one",
        name=name,
        limit_bytes=MAX_VALUES_BYTES,
    )


def stored_by(node: WorkflowNode, job: JobNode) -> u.StoredBy:
    """The attempt that a job is at."""
    return u.StoredBy(
        job_key=str(job.job.key),
        job_name=job.job.name,
        run_id=node.run_id,
        attempt_id=job.attempt_id,
    )


def saved_in(commands: Sequence[Command]) -> SaveValue:
    """What was decided about a Store first of all."""
    saved = commands[0]
    assert isinstance(saved, SaveValue)
    return saved


def stored(
    node: WorkflowNode,
    declared: UserData,
    data: msgspec.Raw,
    commands: Sequence[Command],
    by: u.StoredBy | None,
) -> u.RecordReply:
    """The answer to a Store that is on disk; `data` as it was sent."""
    saved = saved_in(commands)
    return u.RecordReply(
        u.Record(
            key=str(declared.key),
            name=declared.name,
            workflow_key=str(node.key),
            is_ephemeral=declared.is_ephemeral,
            data=data,
            revision=saved.revision,
            sha256=saved.value.sha256,
            stored_at=maybe_rfc3339(saved.at),
            stored_by=by,
        )
    )


def record(node: WorkflowNode, data: DataNode, row: RevisionRow | None) -> u.Record:
    """One revision of a user_data; None: it has no value yet. Without the value if that was only
    told about."""
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
        data=msgspec.Raw(row.value) if row.value else msgspec.UNSET,
        revision=row.revision,
        sha256=row.sha256,
        stored_at=maybe_rfc3339(row.stored_at),
        stored_by=stored_by,
    )
