"""Start jobs of a paused workflow again."""

from torcd.protocol import manager as m
from torcd.scheduler.events import ResumeRequested
from torcd.server.calls import Call
from torcd.server.context import Context
from torcd.server.handlers.workflows import describe


async def resume(context: Context, parameters: m.Resume, call: Call) -> m.WorkflowReply:
    key = await context.workflow_key(parameters.workflow_key, call.peer)
    async with context.controller.workflow(key):
        await context.controller.request(ResumeRequested(key, context.controller.now()))
        return await describe(context, key)
