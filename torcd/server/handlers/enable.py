"""Put disabled jobs back."""

from anyio import to_thread

from torcd.accounts import Account
from torcd.controller.presence import absent
from torcd.model import FileKey, JobKey
from torcd.protocol import manager as m
from torcd.scheduler.events import EnableRequested
from torcd.scheduler.state import WorkflowNode
from torcd.server.calls import Call
from torcd.server.context import Context, find_jobs
from torcd.server.going_on import files_before
from torcd.server.handlers.jobs import changed


async def enable(context: Context, parameters: m.Enable, call: Call) -> m.Changed:
    key = await context.workflow_key(parameters.workflow_key, call.peer)
    async with context.controller.workflow(key) as node:
        jobs = find_jobs(node, parameters.jobs)
        user = context.accounts.acts_as(node.workflow.owner)
        absent_files = await to_thread.run_sync(_absent_inputs, node, jobs, user)
        files = await files_before(context, node)
        async with context.controller.revived(node):
            await context.controller.request(
                EnableRequested(
                    workflow_key=key,
                    jobs=tuple(jobs),
                    absent_files=absent_files,
                    files=files,
                    at=context.controller.now(),
                )
            )
        return changed(node, set(jobs))


def _absent_inputs(
    node: WorkflowNode, jobs: list[JobKey], user: Account | None
) -> frozenset[FileKey]:
    """What they would miss. Looks at the disk."""
    needed = {key for job in jobs for key in node.workflow.input_files(node.jobs[job].job)}
    return absent(node.workflow, needed, user)
