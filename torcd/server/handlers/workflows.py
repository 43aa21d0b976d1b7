"""Workflows as they stand."""

from functools import partial

import msgspec

from torcd.controller.shelf import unknown
from torcd.model import WORKFLOW_OVER, JobStatus, WorkflowKey
from torcd.protocol import manager as m
from torcd.protocol.times import maybe_rfc3339, rfc3339
from torcd.server.calls import Call
from torcd.server.context import Context
from torcd.server.handlers.actions import count_by_status
from torcd.store.rows import WorkflowRow

FOLLOW_INTERVAL_SECONDS = 0.05
"""Changes closer together than this come as one: more often than people can see is waste."""

TOLD_PER_SECOND = 2_000
"""All who follow a workflow together; a crowd of them is told less often. It takes some 10 % of a
CPU, which are the jobs'."""


async def list_workflows(
    context: Context, parameters: m.ListWorkflows, call: Call
) -> m.WorkflowsReply:
    store = context.controller.store
    rows = await store.workflows()
    # Only then, so that what memory tells of them is on disk.
    await context.controller.settled()
    in_memory = context.controller.scheduler.workflows
    infos = []
    for row in rows:
        if not context.is_own(call.peer, row.owner):
            continue
        if row.archived and not parameters.archived:
            continue
        if row.jobs is None and row.key not in in_memory:
            # It has ended meanwhile, and memory has let it go: now the row has it all.
            row = await store.workflow(row.key) or row
        infos.append(_info(context, row))
    return m.WorkflowsReply(infos)


async def get_workflow(context: Context, parameters: m.GetWorkflow, call: Call) -> m.WorkflowReply:
    return await describe(context, await context.workflow_key(parameters.workflow_key, call.peer))


async def follow_workflow(
    context: Context, parameters: m.FollowWorkflow, call: Call
) -> m.WorkflowReply:
    key = await context.workflow_key(parameters.workflow_key, call.peer)
    # Pinned: else a large one is let go the moment it is over, and read again to tell that it is.
    async with context.controller.workflow(key):
        return await _until_over(context, key, call)


async def _until_over(context: Context, key: WorkflowKey, call: Call) -> m.WorkflowReply:
    feed = context.controller.feed
    with feed.changes(key) as changes:
        while True:
            reply = await context.described.get(key, partial(describe, context, key))
            if reply.workflow.ended_at is not None:
                return reply
            await call.send(reply)
            await changes.wait()
            crowd = feed.followers(key) / TOLD_PER_SECOND
            await changes.pause(max(FOLLOW_INTERVAL_SECONDS, crowd))


async def describe(context: Context, key: WorkflowKey) -> m.WorkflowReply:
    """A workflow as it is on disk now. Raises UnknownWorkflow."""
    async with context.controller.workflow(key) as node:
        row = await context.controller.store.workflow(key)
        if row is None:
            raise unknown(key)
        # Only then, so that what memory tells of it is on disk.
        await context.controller.settled()
        info = _info(context, row)
        return m.WorkflowReply(msgspec.structs.replace(info, actions=count_by_status(node)))


def _info(context: Context, row: WorkflowRow) -> m.WorkflowInfo:
    node = context.controller.scheduler.workflows.get(row.key)
    counts = row.jobs or {}
    status, stopping, ended_at = row.status, row.stopping, row.ended_at
    archived = row.archived
    frozen_since = row.frozen_since
    if node is not None:
        counts, archived = node.shown_counts, node.archived
        status, stopping, ended_at = node.status, node.stopping, node.ended_at
        frozen_since = node.frozen_since
    return m.WorkflowInfo(
        key=str(row.key),
        name=row.name,
        status=status,
        run_id=row.run_id,
        jobs={state.value: counts.get(state, 0) for state in JobStatus},
        description=row.description,
        user=row.user,
        owner=_owner(context, row),
        directory=row.directory,
        max_parallel_jobs=row.max_parallel_jobs,
        stopping=stopping,
        frozen=frozen_since is not None,
        submitted_at=rfc3339(row.submitted_at),
        started_at=maybe_rfc3339(row.started_at),
        ended_at=maybe_rfc3339(ended_at),
        archived=archived,
        held_up=None if status in WORKFLOW_OVER else context.controller.held_up,
    )


def _owner(context: Context, row: WorkflowRow) -> str | None:
    """The name of whoever submitted it, where there are several who may have."""
    if not context.accounts.is_shared:
        return None
    return (row.owner or context.accounts.owner(context.accounts.own_uid)).name
