"""What happened, and what happens."""

from torcd import errors
from torcd.accounts import Peer
from torcd.model import Happening, WorkflowKey
from torcd.protocol import manager as m
from torcd.protocol.times import rfc3339
from torcd.scheduler.state import WorkflowNode
from torcd.server.calls import Call
from torcd.server.context import Context
from torcd.store.rows import Removed

PAGE = 1_000
"""Events read from the database at a time."""


async def list_events(context: Context, parameters: m.ListEvents, call: Call) -> m.EventsReply:
    key = await _workflow_key(context, parameters.workflow_key, call.peer)
    await context.controller.settled()
    number = max(parameters.since or 1, 1) - 1
    found: list[m.Event] = []
    seen = Seen(context, call.peer)
    # Page by page, so that others are served meanwhile.
    while page := await context.controller.store.happenings(
        number + 1, workflow_key=key, limit=PAGE
    ):
        found += [event for h in page if (event := await _event(context, h, seen)) is not None]
        number = page[-1].number
    return m.EventsReply(found)


async def follow_events(context: Context, parameters: m.FollowEvents, call: Call) -> m.EventReply:
    key = await _workflow_key(context, parameters.workflow_key, call.peer)
    with context.controller.feed.subscribe(key) as subscription:
        await context.controller.settled()
        seen = Seen(context, call.peer)
        number = 0
        if parameters.since is not None:
            number = max(parameters.since, 1) - 1
            while page := await context.controller.store.happenings(
                number + 1, workflow_key=key, limit=PAGE
            ):
                for happening in page:
                    await _send(context, happening, call, seen)
                number = page[-1].number
        while True:
            for happening in await subscription.next_batch():
                if happening.number <= number:
                    continue
                if key is not None and happening.kind == "workflow_deleted":
                    return m.EventReply(_told(happening, None, None))
                await _send(context, happening, call, seen)


async def _workflow_key(context: Context, text: str | None, peer: Peer) -> WorkflowKey | None:
    """None: all of them are meant, that are the peer's to see. Raises UnknownWorkflow."""
    if text is None:
        return None
    key = await context.workflow_key(text, peer)
    async with context.controller.workflow(key):
        return key


class Seen:
    """Whether workflows are a peer's to see; each is asked for once."""

    def __init__(self, context: Context, peer: Peer) -> None:
        self._context = context
        self._peer = peer
        self._known: dict[WorkflowKey, bool] = {}
        self._removed: dict[WorkflowKey, Removed] = {}
        """What edits have taken out, of which events tell as ever: read when first asked for."""

    async def may_see(self, key: WorkflowKey) -> bool:
        if self._peer.is_admin:
            return True
        if key not in self._known:
            self._known[key] = await self._context.may_see(self._peer, key)
        return self._known[key]

    async def removed(self, key: WorkflowKey, wanted: int) -> Removed:
        """What was taken out of a workflow, and `wanted` is in it, if it ever was."""
        known = self._removed.get(key)
        if known is None or not (wanted in known.jobs or wanted in known.user_data):
            known = self._removed[key] = await self._context.controller.store.removed(key)
        return known


async def _send(context: Context, happening: Happening, call: Call, seen: Seen) -> None:
    event = await _event(context, happening, seen)
    if event is not None:
        await call.send(m.EventReply(event))


async def _event(context: Context, happening: Happening, seen: Seen) -> m.Event | None:
    """None: it is not for the peer, or its workflow was deleted meanwhile, and its jobs have no
    names any more."""
    if not await seen.may_see(happening.workflow_key):
        return None
    job_key, data_key = happening.job_key, happening.data_key
    if job_key is None and data_key is None:
        return _told(happening, None, None)
    try:
        node = await _node(context, happening.workflow_key)
    except errors.UnknownWorkflow:
        return None
    job = None if job_key is None else node.jobs.get(job_key)
    data = None if data_key is None else node.data.get(data_key)
    job_name = None if job is None else job.job.name
    data_name = None if data is None else data.data.name
    if job_key is not None and job is None:
        gone = await seen.removed(happening.workflow_key, job_key)
        job_name = gone.jobs[job_key].name if job_key in gone.jobs else None
    if data_key is not None and data is None:
        gone = await seen.removed(happening.workflow_key, data_key)
        data_name = gone.user_data.get(data_key)
    return _told(happening, job_name, data_name)


def _told(happening: Happening, job_name: str | None, data_name: str | None) -> m.Event:
    job_key, data_key = happening.job_key, happening.data_key
    return m.Event(
        number=happening.number,
        at=rfc3339(happening.at),
        kind=happening.kind,
        workflow_key=str(happening.workflow_key),
        job_key=None if job_key is None else str(job_key),
        job_name=job_name,
        user_data_key=None if data_key is None else str(data_key),
        user_data_name=data_name,
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
