"""Run jobs once more, in the same run."""

from anyio import to_thread

from torcd.accounts import Account
from torcd.controller.presence import absent
from torcd.model import FileKey
from torcd.protocol import manager as m
from torcd.scheduler.commands import SaveJob
from torcd.scheduler.events import RetryRequested
from torcd.scheduler.state import WorkflowNode
from torcd.server.calls import Call
from torcd.server.context import Context, find_jobs
from torcd.server.going_on import files_before
from torcd.server.handlers.jobs import changed


async def retry(context: Context, parameters: m.Retry, call: Call) -> m.Changed:
    key = await context.workflow_key(parameters.workflow_key, call.peer)
    async with context.controller.workflow(key) as node:
        jobs = find_jobs(node, parameters.jobs)
        user = context.accounts.acts_as(node.workflow.owner)
        absent_files = await to_thread.run_sync(_absent, node, user)
        files = await files_before(context, node)
        async with context.controller.revived(node):
            commands = await context.controller.request(
                RetryRequested(
                    workflow_key=key,
                    jobs=tuple(jobs),
                    absent_files=absent_files,
                    files=files,
                    at=context.controller.now(),
                )
            )
        return changed(node, {c.job_key for c in commands if isinstance(c, SaveJob)})


def _absent(node: WorkflowNode, user: Account | None) -> frozenset[FileKey]:
    """Looks at the disk."""
    return absent(node.workflow, node.files.keys(), user)
