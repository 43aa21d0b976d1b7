"""Delete a workflow, with all that is known of it."""

from contextlib import suppress

from torcd import errors
from torcd.model import WorkflowKey
from torcd.protocol import manager as m
from torcd.scheduler.events import CancelRequested
from torcd.scheduler.state import WorkflowNode
from torcd.server.calls import Call
from torcd.server.context import Context


async def delete(context: Context, parameters: m.Delete, call: Call) -> m.Deleted:
    key = await context.workflow_key(parameters.workflow_key, call.peer)
    async with context.controller.workflow(key) as node:
        if parameters.force:
            await _end(context, key, node)
        await context.controller.delete(key)
        return m.Deleted(key=str(key), name=node.workflow.name)


async def _end(context: Context, key: WorkflowKey, node: WorkflowNode) -> None:
    """Cancel what is not over, the commands of actions at its end too, and wait for that."""
    with context.controller.feed.changes(key) as changes:
        while not node.is_over:
            if context.controller.shortage is not None:
                raise context.controller.shortage  # that it is over has to be written down
            with suppress(errors.WrongState):  # it has just ended
                await context.controller.request(
                    CancelRequested(workflow_key=key, jobs=None, at=context.controller.now())
                )
            if not node.is_over:
                await changes.wait()
