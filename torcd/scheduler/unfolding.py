"""Jobs for the elements of a value: the workflow is built anew with them, in the run that goes on.

A job that says `for_each` is the gate of those made for the elements. When it has all it waits for,
and there are no jobs for the elements of the value as it is now, somebody is asked to make them
(`MakeElements`, at the end of a turn, and again after every start). Until the answer comes the
workflow may have become another one, or the value: then it is asked again. So it may be asked, and
answered, any number of times.

What there is already keeps its key and its trace, by name: only what is new, or was made for
another element than now, runs. What runs is never changed under it: that may only be if something
was put back after it had been chosen, and then the elements wait until it has ended.
"""

from torcd import errors
from torcd.model import DataKey
from torcd.scheduler import editing
from torcd.scheduler.arriving import refuse_missing_inputs
from torcd.scheduler.commands import Command
from torcd.scheduler.comparing import difference
from torcd.scheduler.edit_refusals import refuse_changes_under_what_runs, with_new_needs
from torcd.scheduler.events import ElementsMade, ElementsRefused
from torcd.scheduler.job_states import Blocked
from torcd.scheduler.memory import Memory
from torcd.scheduler.nodes import JobNode
from torcd.scheduler.rebuilding import absent_of, built_anew
from torcd.scheduler.state import WorkflowNode
from torcd.scheduler.turn import Turn


def made(memory: Memory, event: ElementsMade) -> list[Command]:
    node = memory.workflows.get(event.workflow_key)
    if node is None:
        return []
    node.being_made.discard(event.data_key)
    if not _waiting(node, event.data_key):
        return []
    if event.base is not node.workflow or node.data[event.data_key].sha256 != event.sha256:
        return Turn(memory, node, event.at).end()
    edit = event.edit
    changes = difference(
        node.workflow,
        edit.workflow,
        edit.values_before,
        {key: value.sha256 for key, value in edit.values.items()},
    )
    try:
        refuse_changes_under_what_runs(node, edit, changes)
    except errors.WrongState:
        node.being_made.add(event.data_key)
        node.held_back.add(event.data_key)
        return []
    anew = built_anew(node, edit, changes, memory.ledger.capacity, memory.next_attempt_key)
    if not node.wait_for_inputs:
        try:
            needs = with_new_needs(node, anew, changes)
            refuse_missing_inputs(anew, needs, absent_of(edit))
        except errors.MissingInputs as error:
            return _fail(memory, node, event.data_key, error.message, event)
    before, waiting = node.workflow, node.being_made
    editing.become(memory, node, anew)
    node.being_made = waiting
    turn = Turn(memory, node, event.at)
    turn.add(editing.record(before, edit, changes, memory.next_key))
    turn.tell_edited(_said(node, event.data_key))
    editing.save_given(turn, edit, changes)
    editing.go_on(turn, changes, absent_of(edit))
    return turn.end()


def refused(memory: Memory, event: ElementsRefused) -> list[Command]:
    node = memory.workflows.get(event.workflow_key)
    if node is None:
        return []
    node.being_made.discard(event.data_key)
    if not _waiting(node, event.data_key):
        return []
    if event.base is not node.workflow or node.data[event.data_key].sha256 != event.sha256:
        return Turn(memory, node, event.at).end()
    return _fail(memory, node, event.data_key, event.message, event)


def _fail(
    memory: Memory,
    node: WorkflowNode,
    key: DataKey,
    message: str,
    event: ElementsMade | ElementsRefused,
) -> list[Command]:
    turn = Turn(memory, node, event.at)
    turn.fail(_waiting(node, key), message)
    return turn.end()


def _waiting(node: WorkflowNode, key: DataKey) -> list[JobNode]:
    """The jobs that have all they wait for, and want one job for each element of this value."""
    return [
        job
        for job in node.folds
        if job.job.for_each is not None
        and job.job.for_each.data == key
        and isinstance(job.state, Blocked)
        and not job.waits
    ]


def _said(node: WorkflowNode, key: DataKey) -> str:
    """`"fit": 3 jobs, one for each element of "cities"`."""
    parts = []
    for job in node.folds:
        for_each = job.job.for_each
        if for_each is not None and for_each.data == key:
            jobs = "1 job" if for_each.count == 1 else f"{for_each.count} jobs"
            parts.append(f'"{job.job.name}": {jobs}')
    return f'{"; ".join(parts)}, one for each element of "{node.data[key].data.name}"'
