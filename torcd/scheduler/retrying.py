"""Jobs that ended badly run once more, in the same run.

What was canceled because of them is revived with them, however deep: each job all of whose bad
predecessors are among those that run again. One that waits for another that ended badly, too, stays
canceled; if it was named itself, the whole request is refused.

A workflow that is over goes on. Its actions have their turn once in a run, so what is to be done at
its end is not done again.
"""

from collections import deque
from collections.abc import Mapping

from torcd import errors
from torcd.model import (
    ENDED_BADLY,
    FileKey,
    FileState,
    JobKey,
    JobStatus,
    Reason,
    WorkflowStatus,
)
from torcd.scheduler import wording
from torcd.scheduler.arriving import refuse_missing_inputs, watch_files
from torcd.scheduler.commands import Command
from torcd.scheduler.events import RetryRequested
from torcd.scheduler.job_states import Ended
from torcd.scheduler.memory import Memory, jobs_of
from torcd.scheduler.nodes import JobNode
from torcd.scheduler.state import WorkflowNode
from torcd.scheduler.turn import Turn


def retry(memory: Memory, event: RetryRequested) -> list[Command]:
    node = memory.workflow(event.workflow_key)
    named = jobs_of(node, event.jobs)
    require_able_to_go_on(node)
    for job in named:
        if job.state.status not in ENDED_BADLY:
            raise errors.WrongState(
                f'job "{job.job.name}" is {job.state.status.value}: only one that failed, was '
                "canceled or terminated can be retried",
                status=job.state.status.value,
            )
    revived = _revived(node, named)
    if not node.wait_for_inputs:
        refuse_missing_inputs(node, revived, event.absent_files)
    turn = Turn(memory, node, event.at)
    go_on(turn, event.files)
    turn.retry(revived, event.absent_files)
    return turn.end()


def require_able_to_go_on(node: WorkflowNode) -> None:
    """Raises WrongState for a workflow that was canceled and is on its way out, or archived."""
    if node.stopping:
        raise errors.WrongState(
            f"workflow {node.key} is on its way out: wait for its end (torcctl wait)",
            status=node.status.value,
        )
    refuse_archived(node)


def refuse_archived(node: WorkflowNode) -> None:
    """Raises WrongState."""
    if node.archived:
        raise errors.WrongState(
            f"workflow {node.key} is archived, and does not run: put it back first "
            f"(torcctl unarchive {node.key})",
            status=node.status.value,
        )


def go_on(turn: Turn, files: Mapping[FileKey, FileState | None]) -> None:
    """A workflow that is over is so no more; and what is in its files is what whoever runs now
    reads."""
    node = turn.node
    if not node.is_over:
        return
    node.status = WorkflowStatus.RUNNING
    node.ended_at = None
    turn.save_workflow()
    turn.looked_at(files.items())
    watch_files(turn)


def _revived(node: WorkflowNode, named: list[JobNode]) -> list[JobNode]:
    """Those that are named, and all that can run because of that. Raises WrongState for one that is
    named and cannot."""
    found = _all_after(named)
    names = {job.job.key for job in named}
    stuck: dict[int, JobNode] = {}
    """Gates and groups for which somebody ended badly who does not run again."""
    to_drop: deque[JobNode] = deque()

    def stick(culprit: JobNode) -> None:
        for gate in culprit.feeds:
            for one in (gate, *gate.groups):
                if one.subject not in stuck:
                    stuck[one.subject] = culprit
                    to_drop.extend(one.consumers)

    for job in node.jobs.values():
        if job.state.status in ENDED_BADLY and job.job.key not in found:
            stick(job)
    while to_drop:
        job = to_drop.popleft()
        key = job.job.key
        if key not in found or not job.job.cancel_on_blocking_job_failure:
            continue
        if key in names:
            culprit = next(stuck[gate.subject] for gate in job.awaits if gate.subject in stuck)
            raise errors.WrongState(
                f'"{job.job.name}" cannot run: it needs "{culprit.job.name}", which '
                f"{wording.PAST[culprit.state.status]}. Retry that one, and this runs after it",
                status=job.state.status.value,
            )
        del found[key]
        stick(job)
    return list(found.values())


def _all_after(named: list[JobNode]) -> dict[JobKey, JobNode]:
    """They, and all that was canceled because of what it depends on and comes after them."""
    found = {job.job.key: job for job in named}
    to_see = list(named)
    while to_see:
        seen = to_see.pop()
        for consumer in (*seen.added, *(one for gate in seen.feeds for one in gate.all_consumers)):
            if consumer.job.key not in found and _was_canceled_for_another(consumer):
                found[consumer.job.key] = consumer
                to_see.append(consumer)
    return found


def _was_canceled_for_another(job: JobNode) -> bool:
    state = job.state
    return (
        isinstance(state, Ended)
        and state.status is JobStatus.CANCELED
        and state.reason is Reason.DEPENDENCY
    )
