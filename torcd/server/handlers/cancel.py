"""Cancel jobs, or the whole workflow."""

from torcd.protocol import manager as m
from torcd.scheduler.commands import SaveJob
from torcd.scheduler.events import CancelRequested
from torcd.server.calls import Call
from torcd.server.context import Context, find_jobs
from torcd.server.handlers.jobs import changed


async def cancel(context: Context, parameters: m.Cancel, call: Call) -> m.Changed:
    key = await context.workflow_key(parameters.workflow_key, call.peer)
    async with context.controller.workflow(key) as node:
        jobs = None if parameters.jobs is None else tuple(find_jobs(node, parameters.jobs))
        commands = await context.controller.request(
            CancelRequested(workflow_key=key, jobs=jobs, at=context.controller.now())
        )
        return changed(node, {c.job_key for c in commands if isinstance(c, SaveJob)})
