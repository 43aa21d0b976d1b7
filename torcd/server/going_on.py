"""What is looked at before a workflow that is over goes on in its run."""

from torcd.controller.looking import States
from torcd.model import WORKFLOW_OVER
from torcd.scheduler.state import WorkflowNode
from torcd.server.context import Context


async def files_before(context: Context, node: WorkflowNode) -> States:
    """What is in its files now: somebody may have edited what jobs made. Of one that is not over,
    nothing: it is about to be written, and jobs that end look at what they read."""
    await context.controller.settled()
    if not node.is_over:
        return {}
    user = context.accounts.acts_as(node.workflow.owner)
    files = await context.controller.gatherer.states(node, user)
    await context.controller.settled()
    return files if node.status in WORKFLOW_OVER else {}  # it may go on meanwhile
