"""What happened, and what happens."""

from torcd.model import Happening, WorkflowKey
from torcd.protocol import manager as m
from torcd.protocol.times import rfc3339
from torcd.scheduler.state import WorkflowNode
from torcd.server.calls import Call
from torcd.server.context import Context

PAGE = 1_000
"""Events read from the database at a time."""


async def list_events(context: Context, parameters: m.ListEvents, call: Call) -> m.EventsReply:
    key = None
    if parameters.workflow_key is not None:
        key = await context.workflow_key(parameters.workflow_key)
    await context.controller.settled()
    number = max(parameters.since or 1, 1) - 1
    found: list[m.Event] = []
    # Page by page, so that others are served meanwhile.
    while page := await context.controller.store.happenings(
        number + 1, workflow_key=key, limit=PAGE
    ):
        found += [await _event(context, happening) for happening in page]
        number = page[-1].number
    return m.EventsReply(found)


async def follow_events(context: Context, parameters: m.FollowEvents, call: Call) -> m.EventReply:
    key = None
    if parameters.workflow_key is not None:
        key = await context.workflow_key(parameters.workflow_key)
    with context.controller.feed.subscribe(key) as subscription:
        await context.controller.settled()
        number = 0
        if parameters.since is not None:
            number = max(parameters.since, 1) - 1
            while page := await context.controller.store.happenings(
                number + 1, workflow_key=key, limit=PAGE
            ):
                for happening in page:
                    await call.send(m.EventReply(await _event(context, happening)))
                number = page[-1].number
        while True:
            for happening in await subscription.next_batch():
                if happening.number > number:
                    await call.send(m.EventReply(await _event(context, happening)))


async def _event(context: Context, happening: Happening) -> m.Event:
    node = await _node(context, happening.workflow_key)
    job_key, data_key = happening.job_key, happening.data_key
    return m.Event(
        number=happening.number,
        at=rfc3339(happening.at),
        kind=happening.kind,
        workflow_key=str(happening.workflow_key),
        job_key=None if job_key is None else str(job_key),
        job_name=None if job_key is None else node.jobs[job_key].job.name,
        user_data_key=None if data_key is None else str(data_key),
        user_data_name=None if data_key is None else node.data[data_key].data.name,
        action=happening.action,
        command=happening.command,
        status=happening.status,
        run_id=happening.run_id,
        attempt_id=happening.attempt_id,
        return_code=happening.return_code,
        reason=happening.reason,
        message=happening.message,
        revision=happening.revision,
    )


async def _node(context: Context, key: WorkflowKey) -> WorkflowNode:
    node = context.controller.scheduler.workflows.get(key)
    if node is not None:
        return node
    async with context.controller.workflow(key) as loaded:
        return loaded
