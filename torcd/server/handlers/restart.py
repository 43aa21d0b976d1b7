"""Run a workflow again, but only what has to."""

from collections.abc import Iterable

import msgspec

from torcd import errors
from torcd.controller.gathering import Progress
from torcd.controller.looking import States
from torcd.model import JobStatus
from torcd.protocol import manager as m
from torcd.scheduler import restarting
from torcd.scheduler.events import RestartRequested, Selection
from torcd.scheduler.job_states import Ended
from torcd.scheduler.nodes import JobNode
from torcd.scheduler.planning import Outlook, Plan
from torcd.scheduler.state import WorkflowNode
from torcd.server.calls import Call
from torcd.server.context import Context, find_jobs
from torcd.server.going_on import at_one_end
from torcd.server.telling import progress_of, telling


async def restart(context: Context, parameters: m.Restart, call: Call) -> m.Restarted:
    controller = context.controller
    key = await context.workflow_key(parameters.workflow_key, call.peer)
    async with controller.workflow(key) as node:

        async def look() -> tuple[RestartRequested, m.Restarted]:
            # Before files are read, and again when that is done.
            restarting.require_over(node)
            _selection(node, parameters)
            files = await _files(context, node, call)
            await controller.settled()
            event = RestartRequested(
                workflow_key=key,
                selection=_selection(node, parameters),
                files=files,
                at=controller.now(),
            )
            if parameters.dry_run:
                return event, await controller.ahead(
                    node, lambda: _told(node, restarting.check(node, event))
                )
            capacity = controller.scheduler.capacity

            def prepare() -> tuple[RestartRequested, m.Restarted]:
                prepared = restarting.prepare(node, event, capacity)
                told = _told(node, prepared.plan)
                return msgspec.structs.replace(event, prepared=prepared), told

            return await controller.ahead(node, prepare)

        event, told = await at_one_end(context, node, look)
        if event.prepared is None or event.prepared.begun is None:
            return told
        async with controller.revived(node):
            await controller.request(event)
        return msgspec.structs.replace(told, run_id=node.run_id, restarted=True)


def _selection(node: WorkflowNode, parameters: m.Restart) -> Selection:
    """Raises UnknownJob for a name that is none, and where nothing is like what was asked for."""
    named = None if parameters.jobs is None else frozenset(find_jobs(node, parameters.jobs))
    statuses, codes = parameters.statuses, parameters.return_codes
    if named is None and statuses is None and codes is None:
        if parameters.only:
            raise errors.InvalidParameter(
                "only says that nothing but some jobs is to run: name them", parameter="only"
            )
        return Selection()
    chosen = [
        job
        for job_key, job in node.jobs.items()
        if (not job.is_hidden if named is None else job_key in named)
        and (statuses is None or job.state.status in statuses)
        and (codes is None or _return_code(job) in codes)
    ]
    if not chosen:
        raise errors.UnknownJob(
            f"no job of workflow {node.key} is like that; see torcctl jobs", job=""
        )
    disabled = [job for job in chosen if job.state.status is JobStatus.DISABLED]
    if disabled:
        name = disabled[0].job.name
        raise errors.WrongState(
            f'job "{name}" is disabled: put it back first (torcctl enable {name})',
            status=JobStatus.DISABLED.value,
        )
    return Selection(jobs=frozenset(job.job.key for job in chosen), only=bool(parameters.only))


def _return_code(job: JobNode) -> int | None:
    return job.state.return_code if isinstance(job.state, Ended) else None


async def _files(context: Context, node: WorkflowNode, call: Call) -> States:
    gatherer = context.controller.gatherer
    user = context.accounts.acts_as(node.workflow.owner)
    if not call.more:
        return await gatherer.states(node, user)
    async with telling(call, lambda progress: _progress(node, progress)) as tell:
        return await gatherer.states(node, user, tell)


def _progress(node: WorkflowNode, progress: Progress) -> m.Restarted:
    return m.Restarted(
        workflow_key=str(node.key),
        restarted=False,
        run_id=node.run_id,
        outlooks=_counted(()),
        items=[],
        progress=progress_of(progress),
    )


def _told(node: WorkflowNode, plan: Plan) -> m.Restarted:
    """Of a plan that has not been carried out."""
    return m.Restarted(
        workflow_key=str(node.key),
        restarted=False,
        run_id=node.run_id + 1 if plan.runs else node.run_id,
        outlooks=_counted(
            one.outlook for key, one in plan.verdicts.items() if not node.jobs[key].job.is_unfolded
        ),
        items=[
            m.JobOutlook(
                key=str(key),
                name=node.jobs[key].job.name,
                status=node.jobs[key].state.status,
                outlook=verdict.outlook,
                reason=verdict.reason,
            )
            for key, verdict in plan.verdicts.items()
            if not node.jobs[key].job.is_unfolded
        ],
    )


def _counted(outlooks: Iterable[Outlook]) -> m.Outlooks:
    counts = {"will_run": 0, "may_run": 0, "up_to_date": 0}
    for outlook in outlooks:
        counts[outlook] += 1
    return msgspec.convert(counts, m.Outlooks)
