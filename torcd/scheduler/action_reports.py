"""What the executor says became of the command of an action."""

from torcd.model import JobStatus, Reason
from torcd.scheduler import acting, freezing, wording
from torcd.scheduler.commands import Command
from torcd.scheduler.events import (
    AttemptExited,
    AttemptLost,
    AttemptNotStarted,
    AttemptStarted,
)
from torcd.scheduler.job_states import Active, Ended, Running, ended_as
from torcd.scheduler.memory import Memory
from torcd.scheduler.turn import Turn

End = AttemptExited | AttemptNotStarted | AttemptLost


def reported(memory: Memory, event: AttemptStarted | End) -> list[Command]:
    """Nothing, if its attempt is that of no action either."""
    found = memory.action_attempts.get(event.attempt_key)
    if found is None:
        return []
    node, action = found
    state = action.state
    assert isinstance(state, Active)
    turn = Turn(memory, node, event.at)
    if isinstance(event, AttemptStarted):
        if isinstance(state, Running):
            return []
        action.state = Running(event.attempt_key, event.at, state.stop)
        turn.tell_action(action)
        freezing.started(node, action.state, turn)
        return turn.end()
    if isinstance(event, AttemptNotStarted) and isinstance(state, Running):
        return []
    ended = _ended(state, event)
    del memory.action_attempts[event.attempt_key]
    if isinstance(event, AttemptExited):
        usage = event.cpu_seconds, event.peak_memory_bytes
    else:
        usage = None, None
    turn.save_attempt(event.attempt_key, ended, *usage)
    action.state = ended
    turn.tell_action(action)
    if ended.status is JobStatus.COMPLETED and action.command < len(action.action.commands):
        acting.start(memory, node, turn, action)
    else:
        assert node.actions is not None
        node.actions.ends(action)
    return turn.end()


def _ended(state: Active, event: End) -> Ended:
    started_at = state.started_at if isinstance(state, Running) else None
    return_code = None
    match event:
        case AttemptExited():
            return_code = event.return_code
            started_at = event.at if started_at is None else started_at
            verdict = wording.verdict(return_code, ran_out_of_memory=event.ran_out_of_memory)
        case AttemptLost():
            verdict = JobStatus.FAILED, Reason.LOST, event.problem
        case AttemptNotStarted():
            problem = event.problem or "it was taken back"
            verdict = JobStatus.FAILED, Reason.START_FAILED, problem
    if state.stop is not None:
        verdict = JobStatus.CANCELED, state.stop.reason, state.stop.message
    return ended_as(*verdict, return_code, started_at, event.at)
