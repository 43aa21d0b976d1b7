"""torc's joins: pairs of a job and what it is related to."""

from collections.abc import Awaitable, Callable

import msgspec

from torcd import errors
from torcd.model import DataKey, FileKey, JobKey
from torcd.protocol import manager as m
from torcd.scheduler.nodes import JobNode
from torcd.scheduler.state import WorkflowNode
from torcd.server.answers import Later, Listing
from torcd.server.calls import Call
from torcd.server.context import Context
from torcd.server.handlers.records import AT_ONCE_BYTES, MAX_VALUES_BYTES, records, too_large
from torcd.server.handlers.results import results_of

JOINS = {
    "job-consumes-data": "jobs and the user_data they read",
    "job-stores-data": "jobs and the user_data they store",
    "job-blocks": "jobs and the jobs that wait for them",
    "job-needs-file": "jobs and the files they read",
    "job-produces-file": "jobs and the files they make",
    "job-results": "jobs and the results of their attempts in the newest run",
}


MAX_PAIRS = 1_000_000
"""In one answer: where all of many jobs wait for all of many others, there are more than fit."""


async def list_joins(context: Context, parameters: m.ListJoins, call: Call) -> m.JoinsReply:
    return m.JoinsReply([m.JoinInfo(name=n, description=d) for n, d in JOINS.items()])


async def join(context: Context, parameters: m.Join, call: Call) -> m.JoinReply | Listing:
    make = _MAKERS.get(parameters.name)
    if make is None:
        raise errors.UnknownCollection(
            f"there is no join {parameters.name[:100]!r}; there are: {', '.join(JOINS)}",
            name=parameters.name[:100],
            known=list(JOINS),
        )
    key = await context.workflow_key(parameters.workflow_key, call.peer)
    async with context.controller.workflow(key) as node:
        await context.controller.settled()
        jobs = [
            job
            for job_key, job in node.jobs.items()
            if not job.is_hidden and (parameters.key is None or str(job_key) == parameters.key)
        ]
        joined = await make(context, node, jobs)
        return joined if isinstance(joined, Listing) else m.JoinReply(joined)


async def _data(
    context: Context,
    node: WorkflowNode,
    jobs: list[JobNode],
    keys_of: Callable[[JobNode], tuple[DataKey, ...]],
) -> Listing:
    joined: list[m.Joined] = []
    later: dict[int, Later] = {}
    size = at_once = 0
    for job in jobs:
        listing = await records(context, node, keys_of(job), AT_ONCE_BYTES - at_once)
        for n, record in enumerate(listing.items):
            if n in listing.later:
                later[len(joined)] = listing.later[n]
                size += listing.later[n].size_bytes
            elif record.data is not msgspec.UNSET:
                size += memoryview(record.data).nbytes
                at_once += memoryview(record.data).nbytes
            if size > MAX_VALUES_BYTES:
                raise too_large(record.name)
            target = m.JoinNode(
                key=record.key,
                name=record.name,
                is_ephemeral=record.is_ephemeral,
                data=record.data,
            )
            joined.append(m.Joined(source=_job(job), target=target))
    return Listing(joined, later)


async def _consumes(context: Context, node: WorkflowNode, jobs: list[JobNode]) -> Listing:
    return await _data(context, node, jobs, lambda job: node.workflow.input_user_data(job.job))


async def _stores(context: Context, node: WorkflowNode, jobs: list[JobNode]) -> Listing:
    return await _data(context, node, jobs, lambda job: job.job.output_user_data)


async def _blocks(context: Context, node: WorkflowNode, jobs: list[JobNode]) -> list[m.Joined]:
    joined: list[m.Joined] = []
    for job in jobs:
        source = _job(job)
        consumers = dict.fromkeys(
            c for gate in job.feeds for c in gate.all_consumers if not c.is_hidden
        )
        if len(joined) + len(consumers) > MAX_PAIRS:
            raise errors.InvalidParameter(
                f"there are more than {MAX_PAIRS} pairs: give the key of one job", parameter="key"
            )
        joined += [m.Joined(source=source, target=_job(consumer)) for consumer in consumers]
    return joined


async def _needs(context: Context, node: WorkflowNode, jobs: list[JobNode]) -> list[m.Joined]:
    return _files(node, jobs, lambda job: node.workflow.input_files(job.job))


async def _produces(context: Context, node: WorkflowNode, jobs: list[JobNode]) -> list[m.Joined]:
    return _files(node, jobs, lambda job: job.job.output_files)


def _files(
    node: WorkflowNode, jobs: list[JobNode], keys_of: Callable[[JobNode], tuple[FileKey, ...]]
) -> list[m.Joined]:
    files = {file.key: file for file in node.workflow.files}
    return [
        m.Joined(
            source=_job(job),
            target=m.JoinNode(key=str(key), name=files[key].name, path=files[key].path),
        )
        for job in jobs
        for key in keys_of(job)
    ]


async def _results(context: Context, node: WorkflowNode, jobs: list[JobNode]) -> list[m.Joined]:
    wanted = m.ListResults(jobs=[job.job.name for job in jobs])
    results = await results_of(context, node, wanted)
    return [
        m.Joined(
            source=_job(node.jobs[JobKey(int(result.job_key))]),
            target=m.JoinNode(
                key=f"{result.job_key}.{result.run_id}.{result.attempt_id}",
                name=result.job_name,
                status=result.status,
                run_id=result.run_id,
                attempt_id=result.attempt_id,
                return_code=result.return_code,
            ),
        )
        for result in results
    ]


def _job(job: JobNode) -> m.JoinNode:
    command = job.job.command
    return m.JoinNode(
        key=str(job.job.key),
        name=job.job.name,
        status=job.state.status,
        command=command if isinstance(command, str) else list(command),
    )


_Maker = Callable[[Context, WorkflowNode, list[JobNode]], Awaitable[list[m.Joined] | Listing]]

_MAKERS: dict[str, _Maker] = {
    "job-consumes-data": _consumes,
    "job-stores-data": _stores,
    "job-blocks": _blocks,
    "job-needs-file": _needs,
    "job-produces-file": _produces,
    "job-results": _results,
}
