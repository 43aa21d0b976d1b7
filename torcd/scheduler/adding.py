"""Jobs that a running job adds to its own workflow, and those that it does not add again.

To add is to edit a workflow that is not over (`torcd.scheduler.editing`): the new spec is the old
one with what is added. Each job that was added knows by which one, and which attempt of it said so
last (`torcd.model.Added`).

    the adder is to run again    what it had added and has not started is held (`JobNode.held`)
    it adds a job again          that is held no more, and is what it is now; with its trace, so it
                                 need not run if nothing has changed
    it ends well                 what it has not added again is removed, in the same event, but for
                                 what runs and what others name
    it ends badly                what is held is canceled, and nothing is removed: whoever tries it
                                 again tries all of it again
    it need not run              all stays as it was

What is left without the jobs that are removed comes with the news of the end, since only who knows
the spec can say it.
"""

from torcd import errors
from torcd.model import AttemptKey
from torcd.scheduler.events import EditRequested
from torcd.scheduler.job_states import Active
from torcd.scheduler.memory import Memory
from torcd.scheduler.nodes import JobNode
from torcd.scheduler.state import WorkflowNode


def adder_of(memory: Memory, attempt_key: AttemptKey) -> JobNode:
    """Raises Denied for an attempt that is over, and as `require_adding`."""
    found = memory.attempts.get(attempt_key)
    if found is None:
        raise errors.Denied("a job adds jobs only while it runs")
    require_adding(found[1])
    return found[1]


def require_adding(job: JobNode) -> None:
    """Raises Denied for a recovery script, and WrongState for a job that was told to end."""
    if job.has_script_to_run:
        raise errors.Denied(f'a recovery script adds no jobs: "{job.job.name}" does, when it runs')
    stop = job.state.stop if isinstance(job.state, Active) else None
    if stop is not None and stop.ends_the_started:
        raise errors.WrongState(
            f'"{job.job.name}" adds nothing more: it is on its way out, {stop.message}',
            status=job.state.status.value,
        )


def is_said_again(node: WorkflowNode, event: EditRequested) -> bool:
    """Whether another attempt than before has added one of its jobs."""
    return any(
        job.key in node.jobs and node.jobs[job.key].job.added != job.added
        for job in event.workflow.jobs
    )
