"""What must hold of actions in the make-believe world; an AssertionError where it does not.

That a command never begins twice, and none after one that failed, the make-believe database sees;
that no attempt is started twice, the make-believe executor.
"""

from typing import TYPE_CHECKING, Any

from torcd.model import ENDED, Action, JobKey, JobStatus, WorkflowKey, WorkflowStatus
from torcd.scheduler.commands import AddCommand
from torcd.scheduler.job_states import Running
from torcd.scheduler.state import WorkflowNode

from . import naive

if TYPE_CHECKING:
    from .store import Store
    from .world import World


def check_choice(world: "World", added: AddCommand) -> None:
    """A command was chosen: it was its turn."""
    assert world.scheduler is not None
    workflow = world.workflow(added.workflow_key)
    action = workflow.actions[added.action - 1]
    if added.command > 1:
        return
    row = world.view.workflow_rows[added.workflow_key]
    assert not world.scheduler.is_draining
    assert row.status is WorkflowStatus.RUNNING or row.stopping, "it begins in a paused workflow"
    assert not row.stopping or action.trigger == "on_workflow_complete"
    match action.trigger:
        case "on_jobs_ready":
            assert all(_became_ready(world, workflow.key, key) for key in action.jobs)
        case "on_jobs_complete":
            assert all(world.view.status(key) in ENDED for key in action.jobs)
        case "on_workflow_complete":
            assert all(world.view.status(job.key) in ENDED for job in workflow.jobs)


def check_that_none_holds_jobs(world: "World", key: WorkflowKey) -> None:
    """A job was chosen: all that comes before the jobs has ended."""
    for number, action in enumerate(world.workflow(key).actions, start=1):
        assert action.trigger != "on_workflow_start" or _has_ended(world.view, key, number, action)


def check_the_end(world: "World", key: WorkflowKey, *, is_canceled: bool) -> None:
    """The workflow is over: what had to run has run, to its end."""
    store = world.store
    for number, action in enumerate(world.workflow(key).actions, start=1):
        begun = store.commands_of(key, number)
        assert not begun or _has_ended(store, key, number, action)
        match action.trigger:
            case "on_workflow_complete":
                assert begun, "what is to be done at the end was not"
            case "on_workflow_start" | "on_jobs_complete":
                assert begun or is_canceled
            case "on_jobs_ready":
                attempted = {attempt.job_key for attempt in store.attempts.values()}
                ready = [
                    job in attempted or store.status(job) is not JobStatus.CANCELED
                    for job in action.jobs
                ]
                assert begun or is_canceled or not all(ready)


def picture(node: WorkflowNode) -> dict[str, Any]:
    """What must be the same after a restart. What ran is pending until it is heard of."""
    if node.actions is None:
        return {}
    active = node.actions.active
    return {
        "active": None if active is None else active.number,
        "due": set(node.actions.due),
        "hold jobs": node.actions.hold_jobs,
        "each": [
            (
                JobStatus.PENDING if isinstance(one.state, Running) else one.state.status,
                getattr(one.state, "stop", None),
                one.command,
                0 if one.command == 0 or one is not active else one.frozen_microseconds,
            )
            for one in node.actions.nodes
        ],
    }


def _became_ready(world: "World", workflow_key: WorkflowKey, key: JobKey) -> bool:
    if any(attempt.job_key == key for attempt in world.view.attempts.values()):
        return True
    status = world.view.status(key)
    if status in ENDED:
        return status is not JobStatus.CANCELED
    workflow = world.workflow(workflow_key)
    [job] = [job for job in workflow.jobs if job.key == key]
    return naive.inputs_are_there(world.view, workflow, job, world.absent)


def _has_ended(store: "Store", key: WorkflowKey, number: int, action: Action) -> bool:
    """Its last command has ended, or one that did not end well."""
    begun = store.commands_of(key, number)
    if not begun or begun[-1].attempt_key not in store.command_rows:
        return False
    row = store.command_rows[begun[-1].attempt_key]
    if row.ended_at is None:
        return False
    return row.status is not JobStatus.COMPLETED or len(begun) == len(action.commands)
