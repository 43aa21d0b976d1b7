"""Jobs as they stand."""

from collections.abc import Iterator

from anyio.lowlevel import checkpoint

from torcd.model import Job, JobKey, Timestamp, Workflow
from torcd.protocol import manager as m
from torcd.protocol.times import maybe_rfc3339
from torcd.scheduler.job_states import Blocked, Ended, Pending, Ready, Running
from torcd.scheduler.nodes import JobNode
from torcd.scheduler.state import WorkflowNode
from torcd.server.calls import Call
from torcd.server.context import Context, find_jobs

SLICE = 1_000
"""Jobs described in one go; then others are served. It takes some ten milliseconds."""


async def list_jobs(context: Context, parameters: m.ListJobs, call: Call) -> m.JobsReply:
    key = await context.workflow_key(parameters.workflow_key, call.peer)
    async with context.controller.workflow(key) as node:
        await context.controller.settled()
        keys: set[JobKey] | None = None
        if parameters.jobs is not None:
            keys = set(find_jobs(node, parameters.jobs))
        statuses = parameters.statuses
        describe = Describer(node)
        wanted = [
            job
            for job_key, job in node.jobs.items()
            if not job.is_hidden
            and (keys is None or job_key in keys)
            and (statuses is None or job.state.status in statuses)
        ]
        items = []
        for start in range(0, len(wanted), SLICE):
            items += [describe.job(job) for job in wanted[start : start + SLICE]]
            await checkpoint()
        return m.JobsReply(items)


class Describer:
    """Says jobs of one workflow in the words of the wire."""

    def __init__(self, node: WorkflowNode) -> None:
        self._node = node
        self._files = {file.key: file.name for file in node.workflow.files}

    def job(self, node: JobNode) -> m.JobInfo:
        job = node.job
        state = node.state
        jobs, data, whole = self._node.jobs, self._node.data, self._node.workflow
        return_code, reason, message = None, None, None
        started_at, ended_at = None, None
        if isinstance(state, Ended):
            return_code, reason, message = state.return_code, state.reason, state.message
            started_at, ended_at = state.started_at, state.ended_at
        elif isinstance(state, Pending | Running) and state.stop is not None:
            reason, message = state.stop.reason, state.stop.message
        elif node.recovery is not None and isinstance(state, Blocked | Ready):
            failed = node.recovery
            return_code, reason, message = failed.return_code, failed.reason, failed.message
        if isinstance(state, Running):
            started_at = state.started_at
        # What is made for an element is added by who added the job that says for_each.
        adder = (node if job.element is None else jobs[job.element.of]).adder
        return m.JobInfo(
            key=str(job.key),
            name=job.name,
            status=state.status,
            return_code=return_code,
            reason=reason,
            message=message,
            stopping=node.is_stopping,
            retry_at=maybe_rfc3339(_retry_at(node)),
            attempt_id=node.attempt_id or None,
            run_id=node.run_id,
            started_at=maybe_rfc3339(started_at),
            ended_at=maybe_rfc3339(ended_at),
            command=job.command if isinstance(job.command, str) else list(job.command),
            depends_on=[jobs[key].job.name for key in _named(job, whole)],
            input_files=[self._files[key] for key in whole.input_files(job)],
            output_files=[self._files[key] for key in job.output_files],
            input_user_data=[data[key].data.name for key in whole.input_user_data(job)],
            output_user_data=[data[key].data.name for key in job.output_user_data],
            cancel_on_blocking_job_failure=job.cancel_on_blocking_job_failure,
            supports_termination=job.supports_termination,
            priority=job.priority,
            cwd=job.cwd or self._node.workflow.directory,
            stdio=job.stdio,
            added_by=None if adder is None else adder.job.name,
            for_each=None if job.for_each is None else data[job.for_each.data].data.name,
            element_of=None if job.element is None else jobs[job.element.of].job.name,
            element_index=None if job.element is None else job.element.index,
            element_key=None if job.element is None else job.element.key,
        )


def _named(job: Job, workflow: Workflow) -> Iterator[JobKey]:
    """The jobs that it says it depends on; without the gate before all elements."""
    for key in workflow.depends_on(job):
        if job.element is None or job.element.of != key:
            yield key


def _retry_at(node: JobNode) -> Timestamp | None:
    """When a job that rests will have rested."""
    if node.recovery is None or node.has_script_to_run or not isinstance(node.state, Blocked):
        return None
    return node.recovery.until


def changed(node: WorkflowNode, keys: set[JobKey]) -> m.Changed:
    """What a request changed, in the order of the spec."""
    names = [j.job.name for key, j in node.jobs.items() if key in keys and not j.is_hidden]
    return m.Changed(workflow_key=str(node.key), jobs=names)
