"""What the executor says became of an attempt, and the verdict on its job.

Reports may be late, repeated and out of order. One about an attempt that is not active, or that
says again what is known, changes nothing.
"""

from torcd.model import JobStatus, Reason, Timestamp
from torcd.scheduler import (
    action_reports,
    choosing,
    editing,
    freezing,
    limits,
    recovering,
    wording,
)
from torcd.scheduler.commands import Command
from torcd.scheduler.events import (
    AttemptExited,
    AttemptLost,
    AttemptNotStarted,
    AttemptStarted,
    Outputs,
)
from torcd.scheduler.job_states import Active, Ended, EndedWell, Pending, Running, Stop, ended_as
from torcd.scheduler.memory import Memory
from torcd.scheduler.nodes import JobNode
from torcd.scheduler.state import WorkflowNode
from torcd.scheduler.turn import Turn


def started(memory: Memory, event: AttemptStarted) -> list[Command]:
    found = memory.attempts.get(event.attempt_key)
    if found is None:
        return action_reports.reported(memory, event)
    node, job = found
    state = job.state
    if not isinstance(state, Pending):
        return []
    turn = Turn(memory, node, event.at)
    # The same number each time, not an equal one: the job keeps it when it has ended.
    running = Running(state.attempt_key, event.at, state.stop and _that_holds(state.stop))
    turn.started(job, running)
    if job.queue.share is not None:
        limits.watch(memory, job, running)
    freezing.started(node, running, turn)
    # No place comes free by it, and nothing ends. Whose turn it is with the machine's shares may
    # depend on what others have started since.
    return turn.end() if node.asking else turn.commands


def exited(memory: Memory, event: AttemptExited) -> list[Command]:
    found = memory.attempts.get(event.attempt_key)
    if found is None:
        return action_reports.reported(memory, event)
    node, job = found
    state = job.state
    assert isinstance(state, Active)
    at, outputs = event.at, event.outputs
    turn = Turn(memory, node, at)
    stop = state.stop and _that_holds(state.stop)
    if stop is not None and stop.reason is Reason.TIMEOUT and limits.ended_in_time(job, event):
        stop = None
    if job.has_script_to_run:
        recovering.script_ended(turn, job, event, stop)
        return turn.end()
    started_at = state.started_at
    if started_at is None:
        started_at = at
    elif stop is None:
        choosing.learn_duration(node, at - started_at)
    if event.return_code == 0:
        for data_key, value in outputs.values:
            turn.store(data_key, value, job, event.attempt_key)
        if outputs.files:
            turn.looked_at(outputs.files)
    if stop is None:
        ended = _judged(node, job, event, started_at)
    else:
        ended = ended_as(*_stopped(stop), event.return_code, started_at, at)
    if event.withdrawal is not None and ended.status is JobStatus.COMPLETED:
        before = [*turn.commands, *editing.withdraw(memory, node, job, event.withdrawal)]
        node, job = memory.attempts[event.attempt_key]
        turn = Turn(memory, node, at)
        turn.commands += before
    turn.finish(
        job,
        state.attempt_key,
        ended,
        cpu_seconds=event.cpu_seconds,
        peak_memory_bytes=event.peak_memory_bytes,
        inputs_changed=outputs.inputs_changed,
        recovery=None
        if ended.reason is None
        else recovering.recovery(node, job, event.attempt_key, ended),
    )
    return turn.end()


def not_started(memory: Memory, event: AttemptNotStarted) -> list[Command]:
    found = memory.attempts.get(event.attempt_key)
    if found is None:
        return action_reports.reported(memory, event)
    node, job = found
    state = job.state
    if not isinstance(state, Pending):
        return []
    turn = Turn(memory, node, event.at)
    if state.stop is None and event.problem is not None:
        if job.has_script_to_run:
            recovering.script_ended(turn, job, event, None)
            return turn.end()
        ended = ended_as(JobStatus.FAILED, Reason.START_FAILED, event.problem, None, None, event.at)
        recovery = recovering.recovery(node, job, event.attempt_key, ended)
        turn.finish(job, event.attempt_key, ended, recovery=recovery)
    else:
        turn.take_back(job, event.attempt_key, state.stop)
    return turn.end()


def lost(memory: Memory, event: AttemptLost) -> list[Command]:
    found = memory.attempts.get(event.attempt_key)
    if found is None:
        return action_reports.reported(memory, event)
    node, job = found
    turn = Turn(memory, node, event.at)
    state = job.state
    assert isinstance(state, Active)
    stop = state.stop and _that_holds(state.stop)
    if job.has_script_to_run:
        recovering.script_ended(turn, job, event, stop)
        return turn.end()
    verdict = (JobStatus.FAILED, Reason.LOST, event.problem) if stop is None else _stopped(stop)
    ended = ended_as(*verdict, None, state.started_at, event.at)
    recovery = recovering.recovery(node, job, event.attempt_key, ended)
    turn.finish(job, event.attempt_key, ended, recovery=recovery)
    return turn.end()


def _that_holds(stop: Stop) -> Stop | None:
    """It, if it holds for an attempt that has started."""
    return stop if stop.ends_the_started else None


def _stopped(stop: Stop) -> tuple[JobStatus, Reason, str]:
    """Whatever its return code: it was told to end."""
    return stop.status, stop.reason, stop.message


def _judged(node: WorkflowNode, job: JobNode, event: AttemptExited, started_at: Timestamp) -> Ended:
    """The end of an attempt that ended by itself."""
    outputs = event.outputs
    may_miss = outputs.missing_files or job.job.output_user_data
    if event.return_code:
        verdict = wording.verdict(event.return_code, ran_out_of_memory=event.ran_out_of_memory)
    elif outputs.problem is not None:
        verdict = JobStatus.FAILED, Reason.BAD_OUTPUT, outputs.problem
    elif may_miss and (missing := _missing(node, job, outputs)):
        message = "exited with status 0, but " + "; ".join(missing)
        verdict = JobStatus.FAILED, Reason.MISSING_OUTPUT, message
    else:
        return EndedWell(started_at, event.at)
    return ended_as(*verdict, event.return_code, started_at, event.at)


def _missing(node: WorkflowNode, job: JobNode, outputs: Outputs) -> list[str]:
    """What it was to make and has not, for people."""
    missing = [f"{wording.file(node, key)} was not made" for key in outputs.missing_files]
    missing += [
        f'user_data "{node.data[key].data.name}" was never stored'
        for key in job.job.output_user_data
        if not node.data[key].is_stored_in_run
    ]
    return missing
