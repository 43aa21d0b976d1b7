"""Take jobs out that have not started."""

from anyio import to_thread

from torcd.accounts import Account
from torcd.controller.presence import absent
from torcd.model import FileKey, JobKey
from torcd.protocol import manager as m
from torcd.scheduler.events import DisableRequested
from torcd.scheduler.state import WorkflowNode
from torcd.server.calls import Call
from torcd.server.context import Context, find_jobs
from torcd.server.handlers.jobs import changed


async def disable(context: Context, parameters: m.Disable, call: Call) -> m.Changed:
    key = await context.workflow_key(parameters.workflow_key, call.peer)
    async with context.controller.workflow(key) as node:
        jobs = find_jobs(node, parameters.jobs)
        user = context.accounts.acts_as(node.workflow.owner)
        await context.controller.request(
            DisableRequested(
                workflow_key=key,
                jobs=tuple(jobs),
                absent_files=await to_thread.run_sync(_absent_outputs, node, jobs, user),
                at=context.controller.now(),
            )
        )
        return changed(node, set(jobs))


def _absent_outputs(
    node: WorkflowNode, jobs: list[JobKey], user: Account | None
) -> frozenset[FileKey]:
    """What consumers would miss. Looks at the disk."""
    made = {key for job in jobs for key in node.jobs[job].job.output_files}
    return absent(node.workflow, made, user)
