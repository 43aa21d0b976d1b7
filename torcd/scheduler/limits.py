"""Runtime limits: a job that has run for as long as it may is stopped, and ends `terminated`.

The scheduler has no clock. It says when it wants to be told that time has passed (`WakeAt`), only
when that moment changes, and not at all while nothing that runs has a limit and no job rests. After
a restart the executor says again when each attempt started, so its limit is counted from then. The
time in which an attempt was frozen does not count, and one that is frozen now has no limit until it
thaws.

A job may end by itself while the news of it, or the order to stop it, is on its way. What counts
is when it ended: before the limit, and not by a signal with which we stop jobs, it is judged by its
own end. Otherwise, once it was told to stop it is `terminated`, whatever its return code. One that
ended by itself a moment after its limit, before anybody told it to stop, is judged by its own end.
"""

import signal
from heapq import heapify, heappop, heappush

from torcd.model import AttemptKey, Reason, Timestamp
from torcd.scheduler import recovering, wording
from torcd.scheduler.commands import Command, WakeAt
from torcd.scheduler.events import AttemptExited, TimePassed
from torcd.scheduler.job_states import Running, Stop
from torcd.scheduler.memory import Memory
from torcd.scheduler.nodes import JobNode
from torcd.scheduler.state import WorkflowNode
from torcd.scheduler.turn import Turn

_STOPPING_SIGNALS = (-signal.SIGTERM, -signal.SIGKILL)

_MAX_IDLE = 64
"""Deadlines kept of attempts that are over, beyond as many as there are attempts."""


def deadline(job: JobNode, started_at: Timestamp) -> Timestamp | None:
    resources = job.job.resources
    if resources is None or resources.runtime_seconds is None:
        return None
    limit = round(resources.runtime_seconds * 1_000_000)
    return Timestamp(started_at + limit + job.frozen_microseconds)


def watch(memory: Memory, job: JobNode, running: Running) -> None:
    """It has started; see to it that it does not run for longer than it may."""
    at = deadline(job, running.started_at)
    if at is not None:
        heappush(memory.deadlines, (at, running.attempt_key))


def watch_again(memory: Memory, node: WorkflowNode) -> None:
    """What runs of it has thawed, and has later deadlines than before."""
    for job in node.jobs.values():
        if isinstance(job.state, Running) and job.queue.share is not None:
            watch(memory, job, job.state)


def time_passed(memory: Memory, event: TimePassed) -> list[Command]:
    memory.wake_at = None  # that was it; if it was too early, it is asked for again
    commands: list[Command] = []
    while memory.deadlines and memory.deadlines[0][0] <= event.at:
        entry = heappop(memory.deadlines)
        if not _is_bound(memory, entry):
            continue
        key = entry[1]
        node, job = memory.attempts[key]
        assert job.job.resources is not None
        limit = wording.duration(job.job.resources.runtime_seconds or 0.0)
        turn = Turn(memory, node, event.at)
        turn.cancel([job], Stop(Reason.TIMEOUT, f"stopped at its runtime limit of {limit}"))
        commands += turn.end()
    return commands + recovering.wake(memory, event.at)


def next_wake(memory: Memory) -> list[Command]:
    """When to be woken, if that has changed."""
    deadlines = memory.deadlines
    if len(deadlines) > 2 * len(memory.attempts) + _MAX_IDLE:
        deadlines[:] = [entry for entry in deadlines if _is_bound(memory, entry)]
        heapify(deadlines)
    while deadlines and not _is_bound(memory, deadlines[0]):
        heappop(deadlines)
    moments = [deadlines[0][0]] if deadlines else []
    rest = recovering.next_end_of_rest(memory)
    if rest is not None:
        moments.append(rest)
    earliest = min(moments, default=None)
    if earliest == memory.wake_at:
        return []
    memory.wake_at = earliest
    return [WakeAt(earliest)]


def ended_in_time(job: JobNode, event: AttemptExited) -> bool:
    """Of one that was told to stop because of its limit: whether it had ended by itself before."""
    state = job.state
    if not isinstance(state, Running) or event.return_code in _STOPPING_SIGNALS:
        return False
    at = deadline(job, state.started_at)
    return at is not None and state.started_at <= event.at < at


def _is_bound(memory: Memory, entry: tuple[Timestamp, AttemptKey]) -> bool:
    """Whether it runs, has not been told to stop, and this is (still) its deadline."""
    at, key = entry
    found = memory.attempts.get(key)
    if found is None or found[0].frozen_since is not None:
        return False
    job = found[1]
    if not isinstance(job.state, Running) or job.is_stopping:
        return False
    return at == deadline(job, job.state.started_at)
