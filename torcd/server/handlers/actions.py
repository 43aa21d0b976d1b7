"""Actions as they stand, and what became of their commands."""

from collections import Counter

from torcd.controller.layout import Layout
from torcd.model import JobStatus
from torcd.protocol import manager as m
from torcd.protocol.times import maybe_rfc3339
from torcd.scheduler.actions import ActionNode
from torcd.scheduler.job_states import Blocked, Ended, Pending, Running
from torcd.scheduler.state import WorkflowNode
from torcd.server.calls import Call
from torcd.server.context import Context
from torcd.store.rows import CommandRow


async def list_actions(context: Context, parameters: m.ListActions, call: Call) -> m.ActionsReply:
    key = await context.workflow_key(parameters.workflow_key, call.peer)
    async with context.controller.workflow(key) as node:
        # The rows first: what memory knows of a command that runs is the newer.
        await context.controller.settled()
        rows = await context.controller.store.action_commands(key, run_id=node.run_id)
        await context.controller.settled()
        known = {(row.action, row.command): row for row in rows}
        layout = Layout(context.state_dir)
        return m.ActionsReply([_info(node, action, known, layout) for action in _nodes(node)])


def count_by_status(node: WorkflowNode) -> dict[str, int]:
    """How many actions are in which state."""
    return dict(Counter(_status(node, action).value for action in _nodes(node)))


def _nodes(node: WorkflowNode) -> list[ActionNode]:
    return [] if node.actions is None else node.actions.nodes


def _status(node: WorkflowNode, action: ActionNode) -> JobStatus:
    if not isinstance(action.state, Blocked):
        return action.state.status
    if node.is_over:
        return JobStatus.CANCELED
    is_due = node.actions is not None and action.number in node.actions.due
    return JobStatus.READY if is_due else JobStatus.BLOCKED


def _info(
    node: WorkflowNode,
    action: ActionNode,
    known: dict[tuple[int, int], CommandRow],
    layout: Layout,
) -> m.ActionInfo:
    state = action.state
    return m.ActionInfo(
        number=action.number,
        trigger=action.action.trigger,
        jobs=[node.jobs[key].job.name for key in action.action.jobs],
        status=_status(node, action),
        stopping=isinstance(state, Pending | Running) and state.stop is not None,
        run_id=node.run_id,
        commands=[
            _command(node, action, number, known.get((action.number, number)), layout)
            for number in range(1, len(action.action.commands) + 1)
        ],
    )


def _command(
    node: WorkflowNode,
    action: ActionNode,
    number: int,
    row: CommandRow | None,
    layout: Layout,
) -> m.ActionCommand:
    state = action.state
    if row is not None and row.ended_at is not None:
        status = row.status
    elif number == action.command:
        status = state.status
    elif isinstance(state, Ended) or node.is_over:
        status = JobStatus.CANCELED  # one before it failed, or it can no longer begin
    else:
        status = JobStatus.BLOCKED
    started_at = None if row is None else row.started_at
    if isinstance(state, Running) and number == action.command:
        started_at = state.started_at
    stdout = stderr = None
    if row is not None:
        stdout, stderr = layout.action_log_paths(node.key, action.number, node.run_id, number)
    return m.ActionCommand(
        number=number,
        command=action.action.commands[number - 1],
        status=status,
        return_code=None if row is None else row.return_code,
        reason=None if row is None else row.reason,
        message=None if row is None else row.message,
        started_at=maybe_rfc3339(started_at),
        ended_at=None if row is None else maybe_rfc3339(row.ended_at),
        cpu_seconds=None if row is None else row.cpu_seconds,
        peak_memory_bytes=None if row is None else row.peak_memory_bytes,
        stdout=stdout,
        stderr=stderr,
    )
