"""Put a workflow out of sight, or back."""

from torcd.model import WorkflowKey
from torcd.protocol import manager as m
from torcd.scheduler.events import ArchiveRequested
from torcd.server.calls import Call
from torcd.server.context import Context
from torcd.server.handlers.workflows import describe


async def archive(context: Context, parameters: m.Archive, call: Call) -> m.WorkflowReply:
    return await _set(context, await context.workflow_key(parameters.workflow_key, call.peer), True)


async def unarchive(context: Context, parameters: m.Unarchive, call: Call) -> m.WorkflowReply:
    return await _set(
        context, await context.workflow_key(parameters.workflow_key, call.peer), False
    )


async def _set(context: Context, key: WorkflowKey, archived: bool) -> m.WorkflowReply:
    async with context.controller.workflow(key):
        await context.controller.request(
            ArchiveRequested(workflow_key=key, archived=archived, at=context.controller.now())
        )
        return await describe(context, key)
