"""What is looked at before a workflow that is over goes on, or runs again."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from torcd import errors
from torcd.controller.looking import States
from torcd.scheduler.state import WorkflowNode
from torcd.server.context import Context

T = TypeVar("T")


async def files_before(context: Context, node: WorkflowNode) -> States:
    """What is in its files now: somebody may have edited what jobs made. Of one that is not over,
    nothing: it is about to be written, and jobs that end look at what they read."""

    async def look() -> States:
        if not node.is_over:
            return {}
        user = context.accounts.acts_as(node.workflow.owner)
        return await context.controller.gatherer.states(node, user)

    files = await at_one_end(context, node, look)
    return files if node.is_over else {}  # it may go on meanwhile


async def at_one_end(context: Context, node: WorkflowNode, look: Callable[[], Awaitable[T]]) -> T:
    """What `look` returns or raises, which looks at the files of a workflow that is over; once
    more, if that has gone on meanwhile and is over again, since its jobs may have written them."""
    while True:
        await context.controller.settled()
        ended_at = node.ended_at
        try:
            found = await look()
        except errors.UserError:
            if not has_ended_since(node, ended_at):
                raise
            continue
        await context.controller.settled()
        if not has_ended_since(node, ended_at):
            return found


def has_ended_since(node: WorkflowNode, ended_at: int | None) -> bool:
    """Whether it is over, and was not as it had last ended then."""
    return node.is_over and node.ended_at != ended_at
