"""Attempts and what became of them."""

from torcd import errors
from torcd.controller.layout import Layout
from torcd.model import Job, JobKey, JobStatus, Timestamp, WorkflowKey
from torcd.protocol import manager as m
from torcd.protocol.times import maybe_rfc3339
from torcd.scheduler.job_states import Running
from torcd.scheduler.state import WorkflowNode
from torcd.server.calls import Call
from torcd.server.context import Context, find_jobs
from torcd.store.rows import AttemptRow


async def list_results(context: Context, parameters: m.ListResults, call: Call) -> m.ResultsReply:
    key = await context.workflow_key(parameters.workflow_key, call.peer)
    async with context.controller.workflow(key) as node:
        items = await results_of(context, node, parameters)
        removed_runs = await context.controller.store.removed_runs(key)
        return m.ResultsReply(items, removed_runs or None)


async def results_of(
    context: Context, node: WorkflowNode, parameters: m.ListResults
) -> list[m.Result]:
    jobs: set[JobKey] | None = None
    if parameters.jobs is not None:
        jobs = set(find_jobs(node, parameters.jobs))
    run_id = parameters.run_id
    if run_id is not None and not 1 <= run_id <= node.run_id:
        there = "there has been one" if node.run_id == 1 else f"there have been 1 to {node.run_id}"
        raise errors.UnknownRun(
            f"workflow {node.key} has no run {run_id}: {there}",
            run_id=run_id,
            newest=node.run_id,
        )
    if run_id is None and not parameters.all_runs:
        run_id = node.run_id
    await context.controller.settled()
    # What runs is only known to memory: it is written down when it is over. As of before the
    # rows are read, or an attempt that ends in between would be in neither.
    running = {
        job.state.attempt_key: job.state.started_at
        for job in node.jobs.values()
        if isinstance(job.state, Running)
    }
    rows = await context.controller.store.attempts(node.key, run_id=run_id, job_keys=jobs)
    known = {job_key: job.job for job_key, job in node.jobs.items()}
    if any(row.job_key not in known for row in rows):
        known |= (await context.controller.store.removed(node.key)).jobs
    layout = Layout(context.state_dir)
    results = [
        _result(node.key, known[row.job_key], layout, row, running.get(row.key)) for row in rows
    ]
    return [result for result in results if result is not None]


def _result(
    key: WorkflowKey, job: Job, layout: Layout, row: AttemptRow, running_since: Timestamp | None
) -> m.Result | None:
    """None for an attempt that has not started."""
    status, started_at = row.status, row.started_at
    if row.ended_at is None:
        if running_since is None:
            return None
        status, started_at = JobStatus.RUNNING, running_since
    stdout, stderr = layout.log_paths(key, row.job_key, row.run_id, row.attempt_id, job.stdio)
    return m.Result(
        job_key=str(row.job_key),
        job_name=job.name,
        run_id=row.run_id,
        attempt_id=row.attempt_id,
        status=status,
        return_code=row.return_code,
        reason=row.reason,
        message=row.message,
        started_at=maybe_rfc3339(started_at),
        ended_at=maybe_rfc3339(row.ended_at),
        cpu_seconds=row.cpu_seconds,
        peak_memory_bytes=row.peak_memory_bytes,
        stdout=stdout,
        stderr=stderr,
    )
