"""user_data: store, fetch, list, history, watch."""

from collections.abc import Iterable

import anyio
import msgspec
from anyio import to_thread

from torcd import errors, value
from torcd.model import AttemptKey, DataKey, WorkflowKey
from torcd.protocol import user_data as u
from torcd.protocol.times import maybe_rfc3339
from torcd.scheduler.commands import SaveValue
from torcd.scheduler.events import StoreRequested
from torcd.scheduler.state import DataNode, JobNode, WorkflowNode
from torcd.server.calls import Call
from torcd.server.context import Context, find_data, is_key
from torcd.store.rows import RevisionRow

LARGE_BYTES = 256 * 1024
"""A value from this size on is checked in a worker thread, so that others are served meanwhile."""


async def store(context: Context, parameters: u.Store, call: Call) -> u.RecordReply:
    controller = context.controller
    attempt_key: AttemptKey | None = None
    if parameters.token is not None:
        node, job, attempt_key = controller.attempt(parameters.token)
        data_key = _declared(node, job, parameters.name, parameters.key, "output")
        return await _store(context, node, data_key, parameters, attempt_key)
    key = await context.workflow_key(parameters.workflow_key)
    async with controller.workflow(key) as node:
        data_key = find_data(node, parameters.name, parameters.key)
        return await _store(context, node, data_key, parameters, None)


async def _store(
    context: Context,
    node: WorkflowNode,
    data_key: DataKey,
    parameters: u.Store,
    attempt_key: AttemptKey | None,
) -> u.RecordReply:
    controller = context.controller
    data = node.data[data_key]
    text = bytes(parameters.data)
    limit = controller.settings.max_value_bytes
    if len(text) > LARGE_BYTES:
        parsed = await to_thread.run_sync(
            lambda: value.parse(text, name=data.data.name, max_bytes=limit)
        )
    else:
        parsed = value.parse(text, name=data.data.name, max_bytes=limit)
    at = controller.now()
    commands = await controller.request(
        StoreRequested(
            workflow_key=node.key,
            data_key=data_key,
            value=parsed,
            attempt_key=attempt_key,
            at=at,
        )
    )
    saved = next(command for command in commands if isinstance(command, SaveValue))
    stored_by = None
    if attempt_key is not None:
        found = controller.scheduler.active_attempt(attempt_key)
        stored_by = None if found is None else _stored_by(*found)
    return u.RecordReply(
        u.Record(
            key=str(data_key),
            name=data.data.name,
            workflow_key=str(node.key),
            is_ephemeral=data.data.is_ephemeral,
            data=parameters.data,
            revision=saved.revision,
            sha256=parsed.sha256,
            stored_at=maybe_rfc3339(at),
            stored_by=stored_by,
        )
    )


async def fetch(context: Context, parameters: u.Fetch, call: Call) -> u.RecordReply:
    controller = context.controller
    if parameters.token is not None:
        node, job, _ = controller.attempt(parameters.token)
        key = node.key
        data_key = _declared(node, job, parameters.name, parameters.key, "input or output")
    else:
        key = await context.workflow_key(parameters.workflow_key)
    async with controller.workflow(key) as node:
        if parameters.token is None:
            data_key = find_data(node, parameters.name, parameters.key)
        data = node.data[data_key]
        if not data.revision and parameters.wait:
            await _wait_for_value(context, key, data, parameters.timeout_seconds)
        await controller.settled()
        row = await controller.store.value(data_key, parameters.revision)
        if row is None and parameters.revision is not None:
            raise errors.NotFound(
                f'user_data "{data.data.name}" has no revision {parameters.revision}; '
                f"the newest is {data.revision}",
                name=data.data.name,
            )
        if row is None:
            raise errors.NoValue(
                f'user_data "{data.data.name}" has no value yet; ask with wait to wait for it',
                name=data.data.name,
            )
        return u.RecordReply(record(node, data, row))


async def _wait_for_value(
    context: Context, key: WorkflowKey, data: DataNode, timeout_seconds: float | None
) -> None:
    with context.controller.feed.changes(key) as changes:
        try:
            with anyio.fail_after(timeout_seconds):
                while not data.revision:
                    await changes.wait()
        except TimeoutError:
            raise errors.TimedOut(
                f'user_data "{data.data.name}" had no value within {timeout_seconds} s',
                timeout_seconds=timeout_seconds or 0.0,
            ) from None


async def list_records(context: Context, parameters: u.List, call: Call) -> u.RecordsReply:
    controller = context.controller
    job: JobNode | None = None
    if parameters.token is not None:
        node, job, _ = controller.attempt(parameters.token)
        key = node.key
    else:
        key = await context.workflow_key(parameters.workflow_key)
    async with controller.workflow(key) as node:
        if parameters.job_key is not None:
            job = _own_job(node, parameters, job)
        keys = _related(node, job, parameters)
        await controller.settled()
        return u.RecordsReply(await records(context, node, keys))


def _own_job(node: WorkflowNode, parameters: u.List, own: JobNode | None) -> JobNode:
    """The job of `job_key`; with a token that may only be the token's own."""
    text = parameters.job_key or ""
    found = next((job for key, job in node.jobs.items() if str(key) == text), None)
    if found is None or not is_key(text):
        raise errors.UnknownJob(
            f"workflow {node.key} has no job of key {text[:100]}", job=text[:100]
        )
    if own is not None and found is not own:
        raise errors.Denied(f"the token is that of another job than {text}")
    return found


def _related(node: WorkflowNode, job: JobNode | None, parameters: u.List) -> Iterable[DataKey]:
    if parameters.relation is None:
        if job is None:
            return list(node.data)
        fetched = node.workflow.input_user_data(job.job)
        return dict.fromkeys((*fetched, *job.job.output_user_data))
    if job is None:
        raise errors.InvalidParameter(
            "relation is about a job: give a token or a job_key", parameter="relation"
        )
    if parameters.relation == "stores":
        return job.job.output_user_data
    return node.workflow.input_user_data(job.job)


async def history(context: Context, parameters: u.History, call: Call) -> u.RecordsReply:
    controller = context.controller
    if parameters.token is not None:
        node, job, _ = controller.attempt(parameters.token)
        key = node.key
        data_key = _declared(node, job, parameters.name, parameters.key, "input or output")
    else:
        key = await context.workflow_key(parameters.workflow_key)
    async with controller.workflow(key) as node:
        if parameters.token is None:
            data_key = find_data(node, parameters.name, parameters.key)
        await controller.settled()
        rows = await controller.store.revisions(data_key)
        return u.RecordsReply([record(node, node.data[data_key], row) for row in rows])


async def watch(context: Context, parameters: u.Watch, call: Call) -> u.RecordReply:
    controller = context.controller
    job: JobNode | None = None
    if parameters.token is not None:
        node, job, _ = controller.attempt(parameters.token)
        key = node.key
    else:
        key = await context.workflow_key(parameters.workflow_key)
    async with controller.workflow(key) as node:
        if job is not None and (parameters.name or parameters.key):
            wanted = {_declared(node, job, parameters.name, parameters.key, "input or output")}
        elif parameters.name or parameters.key:
            wanted = {find_data(node, parameters.name, parameters.key)}
        elif job is not None:
            wanted = {*node.workflow.input_user_data(job.job), *job.job.output_user_data}
        else:
            wanted = set(node.data)
        with controller.feed.subscribe(key) as subscription:
            await controller.settled()
            seen: dict[DataKey, int] = {}
            for present in await records(context, node, [k for k in node.data if k in wanted]):
                seen[DataKey(int(present.key))] = present.revision
                await call.send(u.RecordReply(present))
            while True:
                for happening in await subscription.next_batch():
                    data_key = happening.data_key
                    if data_key is None or data_key not in wanted:
                        continue
                    if (happening.revision or 0) <= seen[data_key]:
                        continue
                    row = await controller.store.value(data_key, happening.revision)
                    if row is not None:
                        await call.send(u.RecordReply(record(node, node.data[data_key], row)))


async def records(context: Context, node: WorkflowNode, keys: Iterable[DataKey]) -> list[u.Record]:
    """The present record of each."""
    found = []
    for key in keys:
        data = node.data[key]
        row = await context.controller.store.value(key) if data.revision else None
        found.append(record(node, data, row))
    return found


def record(node: WorkflowNode, data: DataNode, row: RevisionRow | None) -> u.Record:
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


def _stored_by(node: WorkflowNode, job: JobNode) -> u.StoredBy:
    return u.StoredBy(
        job_key=str(job.job.key),
        job_name=job.job.name,
        run_id=node.run_id,
        attempt_id=job.attempt_id,
    )


def _declared(
    node: WorkflowNode, job: JobNode, name: str | None, key: str | None, role: str
) -> DataKey:
    """What a job names, if it declared it as that. Raises NotDeclared."""
    try:
        found = find_data(node, name, key)
    except errors.NotFound:
        found = None
    allowed = set(job.job.output_user_data)
    if role != "output":
        allowed |= set(node.workflow.input_user_data(job.job))
    if found is None or found not in allowed:
        text = (name or key or "")[:100]
        raise errors.NotDeclared(
            f'job "{job.job.name}" does not declare {text!r} as {role} user_data in its spec',
            name=text,
        )
    return found
