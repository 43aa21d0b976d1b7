"""A frozen workflow: it is paused, and what runs of it, jobs and the command of an action, stands
still until it is resumed.

That it is frozen is written down with the workflow; which attempts are is for the executor to know.
Whatever runs is ordered to freeze: what ran when the workflow was frozen at once, and what started
just before that, or is found running by a new daemon, when its start is reported. How long an
attempt was frozen is added up and written down when it thaws, in the same transaction: the time
does not count for its runtime limit, and a daemon that dies before the order to thaw was given
leaves to the next one who must be told again.

Whoever is told to stop is not held up: it is neither frozen nor, by an order of its own, thawed.
"""

from torcd.model import Timestamp
from torcd.scheduler.commands import FreezeAttempt, SaveFrozenTime, ThawAttempt
from torcd.scheduler.job_states import Active, Running
from torcd.scheduler.outbox import Outbox
from torcd.scheduler.state import WorkflowNode


def freeze(node: WorkflowNode, outbox: Outbox) -> None:
    """The workflow has just been frozen."""
    for job in node.jobs.values():
        if isinstance(job.state, Running):
            started(node, job.state, outbox)
    active = node.actions.active if node.actions is not None else None
    if active is not None and isinstance(active.state, Running):
        started(node, active.state, outbox)


def started(node: WorkflowNode, running: Running, outbox: Outbox) -> None:
    """This runs, it is said, and perhaps it must not."""
    if node.frozen_since is not None and not _is_told_to_end(running):
        outbox.add(FreezeAttempt(running.attempt_key))


def thaw(node: WorkflowNode, outbox: Outbox, since: Timestamp, at: Timestamp) -> None:
    """The workflow, frozen until now, has just been resumed."""
    for job in node.jobs.values():
        state = job.state
        if not isinstance(state, Active) or _is_told_to_end(state):
            continue
        job.frozen_microseconds += _thaw(outbox, state, job.frozen_microseconds, since, at)
    active = node.actions.active if node.actions is not None else None
    if active is not None:
        begun = active.state
        if isinstance(begun, Active) and not _is_told_to_end(begun):
            active.frozen_microseconds += _thaw(
                outbox, begun, active.frozen_microseconds, since, at
            )


def repeat(node: WorkflowNode, state: Active, frozen_microseconds: int, outbox: Outbox) -> None:
    """After a restart: one that is to have thawed may not have been told. One that is to be frozen
    will be told when it is known to run."""
    if node.frozen_since is None and frozen_microseconds and not _is_told_to_end(state):
        outbox.add(ThawAttempt(state.attempt_key))


def _thaw(outbox: Outbox, state: Active, before: int, since: Timestamp, at: Timestamp) -> int:
    """How long it was frozen now. Of a pending one it is not known whether, and since when, it
    runs; it is given all of the time."""
    began = max(since, state.started_at) if isinstance(state, Running) else since
    microseconds = max(at - began, 1)  # the clock may have been put back
    outbox.add(SaveFrozenTime(state.attempt_key, before + microseconds))
    outbox.add(ThawAttempt(state.attempt_key))
    return microseconds


def _is_told_to_end(state: Active) -> bool:
    return state.stop is not None and state.stop.ends_the_started
