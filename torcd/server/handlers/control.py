"""Cancel, pause, resume, disable, enable."""

from anyio import to_thread

from torcd.controller.presence import absent
from torcd.model import FileKey, JobKey
from torcd.protocol import manager as m
from torcd.scheduler import events as e
from torcd.scheduler.commands import SaveJob
from torcd.scheduler.state import WorkflowNode
from torcd.server.calls import Call
from torcd.server.context import Context, find_jobs
from torcd.server.handlers.workflows import describe


async def cancel(context: Context, parameters: m.Cancel, call: Call) -> m.Changed:
    key = await context.workflow_key(parameters.workflow_key)
    async with context.controller.workflow(key) as node:
        jobs = None if parameters.jobs is None else tuple(find_jobs(node, parameters.jobs))
        commands = await context.controller.request(
            e.CancelRequested(workflow_key=key, jobs=jobs, at=context.controller.now())
        )
        changed = {command.job_key for command in commands if isinstance(command, SaveJob)}
        return _changed(node, changed)


async def pause(context: Context, parameters: m.Pause, call: Call) -> m.WorkflowReply:
    key = await context.workflow_key(parameters.workflow_key)
    async with context.controller.workflow(key):
        await context.controller.request(e.PauseRequested(key, context.controller.now()))
        return await describe(context, key)


async def resume(context: Context, parameters: m.Resume, call: Call) -> m.WorkflowReply:
    key = await context.workflow_key(parameters.workflow_key)
    async with context.controller.workflow(key):
        await context.controller.request(e.ResumeRequested(key, context.controller.now()))
        return await describe(context, key)


async def disable(context: Context, parameters: m.Disable, call: Call) -> m.Changed:
    key = await context.workflow_key(parameters.workflow_key)
    async with context.controller.workflow(key) as node:
        jobs = find_jobs(node, parameters.jobs)
        await context.controller.request(
            e.DisableRequested(
                workflow_key=key,
                jobs=tuple(jobs),
                absent_files=await to_thread.run_sync(_absent_outputs, node, jobs),
                at=context.controller.now(),
            )
        )
        return _changed(node, set(jobs))


async def enable(context: Context, parameters: m.Enable, call: Call) -> m.Changed:
    key = await context.workflow_key(parameters.workflow_key)
    async with context.controller.workflow(key) as node:
        jobs = find_jobs(node, parameters.jobs)
        await context.controller.request(
            e.EnableRequested(
                workflow_key=key,
                jobs=tuple(jobs),
                absent_files=await to_thread.run_sync(_absent_inputs, node, jobs),
                at=context.controller.now(),
            )
        )
        return _changed(node, set(jobs))


def _changed(node: WorkflowNode, keys: set[JobKey]) -> m.Changed:
    names = [job.job.name for key, job in node.jobs.items() if key in keys]
    return m.Changed(workflow_key=str(node.key), jobs=names)


def _absent_outputs(node: WorkflowNode, jobs: list[JobKey]) -> frozenset[FileKey]:
    made = {key for job in jobs for key in node.jobs[job].job.output_files}
    return absent(node.workflow, made)


def _absent_inputs(node: WorkflowNode, jobs: list[JobKey]) -> frozenset[FileKey]:
    needed = {key for job in jobs for key in node.workflow.input_files(node.jobs[job].job)}
    return absent(node.workflow, needed)
