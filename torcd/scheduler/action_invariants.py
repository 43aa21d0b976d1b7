"""What is true of actions between any two events; a part of `torcd.scheduler.invariants`."""

from collections.abc import Generator, Iterable

from torcd.model import Action, AttemptKey, JobStatus
from torcd.scheduler.actions import ActionNode
from torcd.scheduler.job_states import Active, Blocked, Disabled, Ended
from torcd.scheduler.state import WorkflowNode


def commands_of(
    workflows: Iterable[WorkflowNode],
) -> dict[AttemptKey, tuple[WorkflowNode, ActionNode]]:
    """Those that are pending or running."""
    return {
        action.state.attempt_key: (node, action)
        for node in workflows
        for action in (node.actions.nodes if node.actions else ())
        if isinstance(action.state, Active)
    }


def actions_of(
    node: WorkflowNode, is_draining: bool, *, jobs_have_ended: bool
) -> Generator[str, None, bool]:
    """What is wrong; returns whether any has yet to come to its end."""
    actions = node.actions
    if actions is None:
        return False
    active = [action for action in actions.nodes if isinstance(action.state, Active)]
    if active != ([] if actions.active is None else [actions.active]):
        yield f"{len(active)} actions are at work, and {actions.active} is said to be"
    held = any(
        action.action.trigger == "on_workflow_start" and not isinstance(action.state, Ended)
        for action in actions.nodes
    )
    if actions.hold_jobs != held:
        yield f"actions hold jobs: {held}, and they are said to: {actions.hold_jobs}"
    due = {
        action.number
        for action in actions.nodes
        if not action.has_begun and _is_due(node, action.action)
    }
    if set(actions.due) != due:
        yield f"the actions {due} are due, and {set(actions.due)} are said to be"
    for action in actions.nodes:
        if action.has_begun == isinstance(action.state, Blocked):
            yield f"action {action.number} is at command {action.command}, and {action.state}"
    if node.is_over:
        return False
    following = actions.next(jobs_have_ended=jobs_have_ended, stopping=node.stopping)
    if following is not None and node.starts_actions and not is_draining:
        yield f"action {following.number} could begin, and waits"
    return following is not None or bool(active)


def _is_due(node: WorkflowNode, action: Action) -> bool:
    jobs = [node.jobs[key] for key in action.jobs]
    match action.trigger:
        case "on_workflow_start":
            return True
        case "on_jobs_complete":
            return all(isinstance(job.state, Ended | Disabled) for job in jobs)
        case "on_jobs_ready":
            return not any(
                (isinstance(job.state, Blocked) and job.recovery is None)
                or (job.state.status is JobStatus.CANCELED and not job.attempt_id)
                for job in jobs
            )
        case "on_workflow_complete":
            return False
