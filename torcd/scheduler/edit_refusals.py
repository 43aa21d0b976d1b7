"""What keeps an edit from being taken while a workflow runs, and whose needs have grown."""

from torcd import errors
from torcd.scheduler.comparing import Difference
from torcd.scheduler.events import EditRequested
from torcd.scheduler.job_states import Blocked, Pending, Ready, Running
from torcd.scheduler.nodes import JobNode
from torcd.scheduler.state import WorkflowNode


def refuse_changes_under_what_runs(
    node: WorkflowNode, event: EditRequested, changes: Difference
) -> None:
    gone, other = changes.of("job", "removed"), changes.of("job", "changed")
    things = {
        key: change
        for kind in ("file", "user_data")
        for key, change in changes.of(kind, "changed").items()
        if change.fields != ("data",)
    }
    problems = []
    has_pending = False
    for key, job in node.jobs.items():
        if not isinstance(job.state, Pending | Running):
            continue
        how = "runs" if isinstance(job.state, Running) else "is about to start"
        problem = None
        if key in gone:
            problem = "cannot be removed"
        elif key in other:
            problem = f"cannot be changed ({', '.join(other[key].fields)})"
        elif things:
            named = {
                *node.workflow.input_files(job.job),
                *job.job.output_files,
                *node.workflow.input_user_data(job.job),
                *job.job.output_user_data,
            }
            changed = [change for thing, change in things.items() if thing in named]
            if changed:
                problem = f'uses {changed[0].kind} "{changed[0].name}", which cannot be changed'
        if problem is not None:
            has_pending |= isinstance(job.state, Pending)
            problems.append(f'job "{job.job.name}" {how}, and {problem}')
    if not problems:
        return
    text = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" * (len(problems) > 3))
    hint = (
        ". Have it wait for the job that adds jobs, and it is what it is to be before it starts"
        if event.attempt_key is not None
        else ". What has not started is taken back by torcctl pause; then apply again, and resume"
        if has_pending
        else ". Wait for its end, or cancel it (torcctl cancel JOB)"
    )
    raise errors.WrongState(
        f"workflow {node.key} is not changed: {text}{hint}", status=node.status.value
    )


def refuse_changes_of_what_began(node: WorkflowNode, event: EditRequested) -> None:
    """Actions are known by their position."""
    if node.actions is None:
        return
    after = event.workflow.actions
    for action in node.actions.nodes:
        if not action.has_begun:
            continue
        same = action.number <= len(after) and (
            (after[action.number - 1].trigger, after[action.number - 1].commands)
            == (action.action.trigger, action.action.commands)
        )
        if not same:
            raise errors.WrongState(
                f"workflow {node.key} is not changed: its action {action.number} has begun in this "
                "run, and keeps its place and its commands until the run is over",
                status=node.status.value,
            )
    if node.actions.at_the_end:
        raise errors.WrongState(
            f"workflow {node.key} is at its end already: its on_workflow_complete commands have "
            "begun. Wait for them (torcctl wait)",
            status=node.status.value,
        )


def with_new_needs(node: WorkflowNode, anew: WorkflowNode, changes: Difference) -> list[JobNode]:
    """The jobs that have yet to start and may need what nobody makes because of the edit."""
    touched = {*changes.of("job", "added"), *changes.of("job", "changed")}
    lost = {
        key
        for key, gate in anew.gates.items()
        if gate.is_input and key in node.gates and not node.gates[key].is_input
    }
    found = []
    for key, job in anew.jobs.items():
        if not isinstance(job.state, Blocked | Ready):
            continue
        if key in touched or any(
            gate.subject in lost or any(member.subject in lost for member in gate.members)
            for gate in (job.awaits if lost else ())
        ):
            found.append(job)
    return found
