"""Start no more jobs of a workflow, and freeze what runs where that is wanted."""

from torcd.protocol import manager as m
from torcd.scheduler.events import PauseRequested
from torcd.server.calls import Call
from torcd.server.context import Context
from torcd.server.handlers.workflows import describe


async def pause(context: Context, parameters: m.Pause, call: Call) -> m.WorkflowReply:
    key = await context.workflow_key(parameters.workflow_key, call.peer)
    async with context.controller.workflow(key):
        await context.controller.request(
            PauseRequested(key, context.controller.now(), freezes=bool(parameters.stop))
        )
        return await describe(context, key)
