"""Actions begin, go on to their next command, and are stopped. When, `torcd.scheduler.actions`
says."""

from torcd.model import AttemptKey, Reason
from torcd.scheduler import freezing
from torcd.scheduler.actions import ActionNode, Actions
from torcd.scheduler.commands import AddCommand, SaveAttempt, StartCommand, StopAttempt
from torcd.scheduler.job_states import Active, Pending, Running, Stop
from torcd.scheduler.memory import Memory
from torcd.scheduler.outbox import Outbox
from torcd.scheduler.state import WorkflowNode


def begin_next(memory: Memory, node: WorkflowNode, outbox: Outbox) -> bool:
    """Begin the action whose turn it is. Returns whether any has yet to come to its end."""
    actions = node.actions
    assert actions is not None
    following = actions.next(jobs_have_ended=node.final_status is not None, stopping=node.stopping)
    if following is not None and node.starts_actions and not memory.is_draining:
        actions.begins(following)
        start(memory, node, outbox, following)
    return following is not None or actions.active is not None


def start(memory: Memory, node: WorkflowNode, outbox: Outbox, action: ActionNode) -> None:
    """Its next command."""
    attempt_key = AttemptKey(memory.next_attempt_key)
    memory.next_attempt_key += 1
    memory.action_attempts[attempt_key] = (node, action)
    action.command += 1
    action.state = Pending(attempt_key)
    action.frozen_microseconds = 0
    outbox.add(
        AddCommand(
            attempt_key=attempt_key,
            workflow_key=node.key,
            run_id=node.run_id,
            action=action.number,
            command=action.command,
        )
    )
    outbox.tell_action(action)
    outbox.add(_start_command(node, action, attempt_key))


def repeat(memory: Memory, node: WorkflowNode, outbox: Outbox, actions: Actions) -> None:
    """After a restart: tell the executor again what was wanted of it."""
    action = actions.active
    if action is None:
        return
    state = action.state
    assert isinstance(state, Active)
    memory.action_attempts[state.attempt_key] = (node, action)
    outbox.add(_start_command(node, action, state.attempt_key))
    if state.stop is not None:
        outbox.add(StopAttempt(attempt_key=state.attempt_key, supports_termination=True))
    freezing.repeat(node, state, action.frozen_microseconds, outbox)


def stop(outbox: Outbox, actions: Actions) -> None:
    """End what runs. That it was asked for is written down with the attempt."""
    action = actions.active
    if action is None:
        return
    state = action.state
    assert isinstance(state, Active)
    if state.stop is not None:
        return
    why = Stop(Reason.CANCELED, "canceled with its workflow")
    started_at = None
    if isinstance(state, Running):
        started_at = state.started_at
        action.state = Running(state.attempt_key, started_at, why)
    else:
        action.state = Pending(state.attempt_key, why)
    outbox.add(
        SaveAttempt(
            attempt_key=state.attempt_key,
            status=state.status,
            reason=why.reason,
            message=why.message,
            return_code=None,
            started_at=started_at,
            ended_at=None,
            cpu_seconds=None,
            peak_memory_bytes=None,
        )
    )
    outbox.tell_action(action)
    outbox.add(StopAttempt(attempt_key=state.attempt_key, supports_termination=True))


def _start_command(node: WorkflowNode, action: ActionNode, attempt_key: AttemptKey) -> StartCommand:
    return StartCommand(
        attempt_key=attempt_key,
        workflow_key=node.key,
        run_id=node.run_id,
        action=action.number,
        command=action.command,
    )
