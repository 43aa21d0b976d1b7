"""user_data: store, fetch, list, history, watch."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

import anyio
import msgspec
from anyio import to_thread

from torcd import errors, value
from torcd.controller.parsing import parse
from torcd.controller.shelf import unknown
from torcd.model import AttemptKey, DataKey, WorkflowKey
from torcd.protocol import user_data as u
from torcd.scheduler.events import StoreRequested
from torcd.scheduler.nodes import JobNode
from torcd.scheduler.state import WorkflowNode
from torcd.server.answers import Listing
from torcd.server.calls import Call
from torcd.server.context import Context, find_data, is_key
from torcd.server.handlers import records
from torcd.server.memory import LITTLE_BYTES
from torcd.store import value_files
from torcd.store.rows import RevisionRow

LARGE_BYTES = 256 * 1024
"""A value from this size on is checked in a worker thread, so that others are served meanwhile."""


async def store(context: Context, parameters: u.Store, call: Call) -> u.RecordReply:
    controller = context.controller
    asker = await _asker(context, parameters, call)
    async with controller.workflow(asker.workflow_key) as node:
        data_key = asker.find(node, parameters, role="output")
        data = node.data[data_key]
        parsed = await _parse(context, parameters.data, data.data.name)
        by = None if asker.job is None else records.stored_by(node, asker.job)

        def refused() -> None:
            if parsed.file is not None:
                controller.store.files.remove([parsed.file])

        try:
            await controller.require_fit(data.data, parsed)
        except BaseException:
            refused()
            raise
        commands = await controller.request(
            StoreRequested(
                workflow_key=node.key,
                data_key=data_key,
                value=parsed,
                attempt_key=asker.attempt_key,
                at=controller.now(),
            ),
            refused=refused,
        )
        return records.stored(node, data.data, parameters.data, commands, by)


async def _parse(context: Context, data: msgspec.Raw, name: str) -> value.Value:
    limit = context.controller.settings.max_value_bytes
    text = memoryview(data)
    if text.nbytes <= LARGE_BYTES:
        return value.parse(bytes(data), name=name, max_bytes=limit)

    def parse_large(
        is_plain: Callable[[memoryview], bool] = value.is_plain_string,
    ) -> value.Value:
        in_place = value.parse_in_place(text, max_bytes=limit, is_plain=is_plain)
        return in_place or parse(bytes(data), name=name, max_bytes=limit)

    def parse_and_write() -> value.Value:
        """Both at a time. To hash it does not hold the interpreter, nor do the writes. To look at
        it does: that is done while both the hash and the disk are on their way."""
        files = context.controller.store.files
        looked = Future[bool]()
        with ThreadPoolExecutor(1) as beside:
            parsing = beside.submit(parse_large, lambda _: looked.result())
            try:
                file = files.write(
                    text, meanwhile=lambda: looked.set_result(value.is_plain_string(text))
                )
            finally:
                looked.cancel()  # so that nobody waits for it, should it not have come to that
        try:
            return msgspec.structs.replace(parsing.result(), file=file)
        except BaseException:
            files.remove([file])
            raise

    is_written = value_files.LARGE_BYTES <= text.nbytes <= limit
    return await to_thread.run_sync(
        parse_and_write if is_written else parse_large, limiter=context.controller.parsing
    )


async def fetch(context: Context, parameters: u.Fetch, call: Call) -> u.RecordReply:
    controller = context.controller
    asker = await _asker(context, parameters, call)
    async with controller.workflow(asker.workflow_key) as node:
        data_key = asker.find(node, parameters)
        data = node.data[data_key]
        if data.sha256 is None and parameters.revision is None and parameters.wait:
            await _wait_for_value(context, node, data_key, parameters.timeout_seconds)
        await controller.settled()
        data = node.data[data_key]
        row = None
        if data.sha256 is not None or parameters.revision is not None:
            row = await _row_with_room(context, call, data_key, parameters.revision)
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
        reply = u.RecordReply(records.record(node, data, row))
        if row.size_bytes <= LITTLE_BYTES and parameters.revision is None:
            context.keep(node, data, reply)
        return reply


async def _wait_for_value(
    context: Context, node: WorkflowNode, key: DataKey, timeout_seconds: float | None
) -> None:
    with context.controller.feed.changes(node.key) as changes:
        try:
            with anyio.fail_after(timeout_seconds):
                # It must be on disk: what is not may yet be taken back, for want of room.
                await context.controller.settled()
                while node.data[key].sha256 is None:
                    await changes.wait()
                    await context.controller.settled()
                    if node.key not in context.controller.scheduler.workflows:
                        raise unknown(node.key)
        except TimeoutError:
            raise errors.TimedOut(
                f'user_data "{node.data[key].data.name}" had no value within {timeout_seconds} s',
                timeout_seconds=timeout_seconds or 0.0,
            ) from None


async def list_records(context: Context, parameters: u.List, call: Call) -> Listing:
    controller = context.controller
    asker = await _asker(context, parameters, call)
    async with controller.workflow(asker.workflow_key) as node:
        job = asker.job
        if parameters.job_key is not None:
            job = _own_job(node, parameters, job)
        keys = _related(node, job, parameters)
        await controller.settled()
        return await records.records(context, node, keys)


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
        return _declared(node, job)
    if job is None:
        raise errors.InvalidParameter(
            "relation is about a job: give a token or a job_key", parameter="relation"
        )
    if parameters.relation == "stores":
        return job.job.output_user_data
    return node.workflow.input_user_data(job.job)


async def history(context: Context, parameters: u.History, call: Call) -> Listing:
    controller = context.controller
    asker = await _asker(context, parameters, call)
    async with controller.workflow(asker.workflow_key) as node:
        data_key = asker.find(node, parameters)
        await controller.settled()
        return await records.history(context, node, data_key)


async def watch(context: Context, parameters: u.Watch, call: Call) -> u.RecordReply:
    controller = context.controller
    asker = await _asker(context, parameters, call)
    async with controller.workflow(asker.workflow_key) as node:
        if parameters.name is not None or parameters.key is not None:
            wanted = {asker.find(node, parameters)}
        elif asker.job is not None:
            wanted = set(_declared(node, asker.job))
        else:
            wanted = set(node.data)
        with controller.feed.subscribe(node.key) as subscription:
            await controller.settled()
            seen: dict[DataKey, int] = {}
            for key in [k for k in node.data if k in wanted]:
                has_value = node.data[key].sha256 is not None
                row = await _row_or_loss(context, call, key) if has_value else None
                seen[key] = node.data[key].revision if row is None else row.revision
                await call.send(u.RecordReply(records.record(node, node.data[key], row)))
                del row
            while True:
                for happening in await subscription.next_batch():
                    if happening.kind == "workflow_deleted":
                        raise unknown(node.key)
                    data_key = happening.data_key
                    if data_key is None or data_key not in wanted:
                        continue
                    if happening.kind == "value_cleared":
                        cleared = records.record(node, node.data[data_key], None)
                        await call.send(u.RecordReply(cleared))
                        continue
                    if (happening.revision or 0) <= seen[data_key]:
                        continue
                    row = await _row_or_loss(context, call, data_key, happening.revision)
                    if row is not None:
                        stored = records.record(node, node.data[data_key], row)
                        await call.send(u.RecordReply(stored))
                        del row, stored


async def _row_with_room(
    context: Context, call: Call, key: DataKey, revision: int | None = None
) -> RevisionRow | None:
    """A revision; a large one is left where it is until there is room to send it."""
    store = context.controller.store
    row = await store.value(key, revision, max_bytes=records.FREE_BYTES)
    if row is None or len(row.value) == row.size_bytes:
        return row
    await call.take_room(row.size_bytes)
    return await store.value(key, row.revision)


async def _row_or_loss(
    context: Context, call: Call, key: DataKey, revision: int | None = None
) -> RevisionRow | None:
    """As `_row_with_room`, but one that is lost is told about without its value."""
    try:
        return await _row_with_room(context, call, key, revision)
    except errors.LostValue:
        return await context.controller.store.value(key, revision, max_bytes=records.FREE_BYTES)


class _Asker(msgspec.Struct, frozen=True):
    """Who asks: a job, by its token, or a person (`job` None)."""

    workflow_key: WorkflowKey
    job: JobNode | None
    attempt_key: AttemptKey | None

    def find(
        self,
        node: WorkflowNode,
        parameters: u.Store | u.Fetch | u.History | u.Watch,
        *,
        role: Literal["output", "input or output"] = "input or output",
    ) -> DataKey:
        """The user_data that is named. Raises NotFound, and NotDeclared for a job that did not
        declare it as that."""
        if self.job is None:
            return find_data(node, parameters.name, parameters.key)
        try:
            found = find_data(node, parameters.name, parameters.key)
        except errors.NotFound:
            found = None
        output = self.job.job.output_user_data
        if found is None or found not in (
            output if role == "output" else _declared(node, self.job)
        ):
            text = (parameters.name or parameters.key or "")[:100]
            raise errors.NotDeclared(
                f'job "{self.job.job.name}" does not declare {text!r} as {role} user_data in its '
                "spec",
                name=text,
            )
        return found


async def _asker(
    context: Context,
    parameters: u.Store | u.Fetch | u.List | u.History | u.Watch,
    call: Call,
) -> _Asker:
    """Raises Denied for a token that is void or another user's, and UnknownWorkflow."""
    if parameters.token is None:
        return _Asker(await context.workflow_key(parameters.workflow_key, call.peer), None, None)
    node, job, attempt_key = context.controller.attempt(parameters.token)
    if not context.is_own(call.peer, node.workflow.owner):
        raise errors.Denied("the token is that of a job of another user")
    if parameters.workflow_key not in (None, str(node.key)):
        raise errors.Denied(
            f"the token is that of a job of workflow {node.key}; leave workflow_key out, or name "
            "another workflow without the token"
        )
    return _Asker(node.key, job, attempt_key)


def _declared(node: WorkflowNode, job: JobNode) -> dict[DataKey, None]:
    """What a job may touch, each once."""
    return dict.fromkeys((*node.workflow.input_user_data(job.job), *job.job.output_user_data))
