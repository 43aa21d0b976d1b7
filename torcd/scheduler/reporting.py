"""What the executor says became of an attempt, and the verdict on its job.

Reports may be late, repeated and out of order. One about an attempt that is not active, or that
says again what is known, changes nothing.
"""

from torcd.model import JobStatus, Reason
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
)
from torcd.scheduler.job_states import Active, Pending, Running, Stop, ended_as
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
    running = Running(state.attempt_key, event.at, _stop_that_holds(job))
    turn.started(job, running)
    if job.queue.share is not None:
        limits.watch(memory, job, running)
    freezing.started(node, running, turn.outbox)
    return turn.end()


def exited(memory: Memory, event: AttemptExited) -> list[Command]:
    found = memory.attempts.get(event.attempt_key)
    if found is None:
        return action_reports.reported(memory, event)
    node, job = found
    state = job.state
    assert isinstance(state, Active)
    turn = Turn(memory, node, event.at)
    stop = _stop_that_holds(job)
    if stop is not None and stop.reason is Reason.TIMEOUT and limits.ended_in_time(job, event):
        stop = None
    started_at = event.at
    if isinstance(state, Running):
        started_at = state.started_at
        if stop is None and not job.has_script_to_run:
            choosing.learn_duration(node, event.at - started_at)
    if job.has_script_to_run:
        recovering.script_ended(turn, job, event, stop)
        return turn.end()
    if event.return_code == 0:
        for data_key, value in event.outputs.values:
            turn.store(data_key, value, job, event.attempt_key)
        turn.looked_at(event.outputs.files)
    verdict = _verdict(node, job, event) if stop is None else _stopped(stop)
    before: list[Command] = []
    if event.withdrawal is not None and verdict[0] is JobStatus.COMPLETED:
        before = [*turn.outbox.commands, *editing.withdraw(memory, node, job, event.withdrawal)]
        node, job = memory.attempts[event.attempt_key]
        turn = Turn(memory, node, event.at)
    ended = ended_as(*verdict, event.return_code, started_at, event.at)
    turn.finish(
        job,
        state.attempt_key,
        ended,
        cpu_seconds=event.cpu_seconds,
        peak_memory_bytes=event.peak_memory_bytes,
        inputs_changed=event.outputs.inputs_changed,
        recovery=None
        if ended.reason is None
        else recovering.recovery(node, job, event.attempt_key, ended),
    )
    return [*before, *turn.end()]


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
    started_at = job.state.started_at if isinstance(job.state, Running) else None
    stop = _stop_that_holds(job)
    if job.has_script_to_run:
        recovering.script_ended(turn, job, event, stop)
        return turn.end()
    verdict = (JobStatus.FAILED, Reason.LOST, event.problem) if stop is None else _stopped(stop)
    ended = ended_as(*verdict, None, started_at, event.at)
    recovery = recovering.recovery(node, job, event.attempt_key, ended)
    turn.finish(job, event.attempt_key, ended, recovery=recovery)
    return turn.end()


def _stop_that_holds(job: JobNode) -> Stop | None:
    """Of a job whose attempt has started: why it was told to end."""
    state = job.state
    assert isinstance(state, Active)
    return state.stop if state.stop is not None and state.stop.ends_the_started else None


_Verdict = tuple[JobStatus, Reason | None, str | None]


def _stopped(stop: Stop) -> _Verdict:
    """Whatever its return code: it was told to end."""
    return stop.status, stop.reason, stop.message


def _verdict(node: WorkflowNode, job: JobNode, event: AttemptExited) -> _Verdict:
    """Of an attempt that ended by itself."""
    if event.return_code:
        return wording.verdict(event.return_code, ran_out_of_memory=event.ran_out_of_memory)
    if event.outputs.problem is not None:
        return JobStatus.FAILED, Reason.BAD_OUTPUT, event.outputs.problem
    missing = [f"{wording.file(node, key)} was not made" for key in event.outputs.missing_files]
    missing += [
        f'user_data "{node.data[key].data.name}" was never stored'
        for key in job.job.output_user_data
        if not node.data[key].is_stored_in_run
    ]
    if missing:
        message = "exited with status 0, but " + "; ".join(missing)
        return JobStatus.FAILED, Reason.MISSING_OUTPUT, message
    return JobStatus.COMPLETED, None, None
