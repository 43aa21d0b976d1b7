"""Another spec for a workflow there is, in one event and one transaction.

The workflow is built anew (`torcd.scheduler.building`), from its new spec and from what had become
of the jobs that are in both. What is done then depends on whether it was over:

    over      a new run of all that is out of date, as a restart would begin, if anything is; what
              is new never ran, and so is among it
    not over  the same run goes on. New jobs, and changed ones that have not started, run in it;
              what has ended stays as it is, and is out of date for the next run if it has become
              another one

A job that runs asks for the same when it adds jobs, and when it ends without having added some of
them again (`torcd.scheduler.adding`).

What runs, or may start at any moment, is never changed under it: an edit is refused that changes
or removes such a job, or a file or user_data that it declares, but for the value that is given. A
job that is gone takes nothing with it: what it made is there, and its results are kept.
"""

from collections.abc import Iterator
from typing import Literal

import msgspec

from torcd import errors
from torcd.model import (
    Capacity,
    DataKey,
    FileKey,
    JobKey,
    JobStatus,
    Workflow,
    WorkflowStatus,
)
from torcd.scheduler import planning, restarting, wording
from torcd.scheduler.adding import adder_of, is_said_again
from torcd.scheduler.arriving import refuse_missing_inputs, watch_files
from torcd.scheduler.commands import Command, EditWorkflow, SaveFile
from torcd.scheduler.comparing import RERUN_FIELDS, Difference, difference
from torcd.scheduler.edit_refusals import (
    refuse_changes_of_what_began,
    refuse_changes_under_what_runs,
    with_new_needs,
)
from torcd.scheduler.events import EditRequested, Selection
from torcd.scheduler.job_states import Blocked, Ended, Pending, Ready, Running
from torcd.scheduler.memory import Memory
from torcd.scheduler.nodes import JobNode
from torcd.scheduler.rebuilding import absent_of, built_anew, given
from torcd.scheduler.retrying import require_able_to_go_on
from torcd.scheduler.state import WorkflowNode
from torcd.scheduler.turn import Turn

EditOutlook = Literal["will_run", "may_run", "up_to_date", "next_run"]
"""As of a restart; or, of a workflow that is not over: not in this run, but in the next one."""


class Verdict(msgspec.Struct, frozen=True, gc=False):
    outlook: EditOutlook
    reason: str


class Edit(msgspec.Struct, frozen=True):
    """What an edit comes to."""

    difference: Difference
    verdicts: dict[JobKey, Verdict]
    """Of a workflow that is over: of all its jobs. Of another one: of the new and the changed
    ones. Without a difference there are none."""
    node: WorkflowNode
    """The workflow, built anew; without a difference, as it is."""
    plan: planning.Plan | None
    """What is to run, of one that is over."""
    begun: WorkflowNode | None
    """It at the beginning of a new run, if one begins."""
    turns: int
    """How many the workflow had had: what was checked holds until the next one."""

    @property
    def runs(self) -> bool:
        """Whether a new run begins."""
        return self.begun is not None


def edit(memory: Memory, event: EditRequested) -> list[Command]:
    node = memory.workflow(event.workflow_key)
    found = event.prepared
    if found is None or found.turns != node.turns:
        found = check(node, event, memory.ledger.capacity, memory.next_attempt_key)
    adder = None if event.attempt_key is None else adder_of(memory, event.attempt_key)
    if found.node is node:
        # Of what is there, nothing is another; a regex that finds nothing yet may be.
        return _only_the_spec(memory, node, event) if event.spec else []
    before, states_before = node.workflow, node.file_states
    become(memory, node, found.begun or found.node)
    absent = absent_of(event)
    turn = Turn(memory, node, event.at)
    turn.add(record(before, event, found.difference, memory.next_key))
    if found.difference:
        turn.tell_edited(said(found.difference), adder)
    for key in states_before:
        if key in node.files and key not in node.file_states:
            turn.add(SaveFile(workflow_key=node.key, file_key=key, state=None))
    save_given(turn, event, found.difference)
    if found.plan is None:
        go_on(turn, found.difference, absent)
    elif found.runs:
        restarting.run_again(turn, found.plan, event.files, absent)
    else:
        turn.looked_at(event.files.items())
        _judge_again(turn)
        return turn.commands
    return turn.end()


def withdraw(
    memory: Memory, node: WorkflowNode, adder: JobNode, event: EditRequested
) -> list[Command]:
    """It ends well, and has not added some jobs again: they are removed. If that cannot be, since
    something that runs or has yet to run needs what only they make, all stay."""
    try:
        return edit(memory, event)
    except errors.UserError as refusal:
        turn = Turn(memory, node, event.at)
        turn.tell_edited(f"nothing was removed: {refusal.message}", adder)
        return turn.commands


def become(memory: Memory, node: WorkflowNode, anew: WorkflowNode) -> None:
    """A workflow is the one that was built anew from now on."""
    keys = _keys(anew.workflow)
    if any(key < memory.next_key for key in keys - _keys(node.workflow)):
        raise ValueError(f"keys of what is new begin at {memory.next_key}")
    memory.next_key = max(memory.next_key, max(keys) + 1)
    node.become(anew)
    for job in node.jobs.values():
        if isinstance(job.state, Pending | Running):
            memory.attempts[job.state.attempt_key] = (node, job)
    active = None if node.actions is None else node.actions.active
    if active is not None and isinstance(active.state, Pending | Running):
        memory.action_attempts[active.state.attempt_key] = (node, active)
    if not node.asking:
        memory.line.leave(node)


def save_given(turn: Turn, event: EditRequested, changes: Difference) -> None:
    """The values that the spec gives now."""
    for data_key in given(event, changes):
        data = turn.node.data[data_key]
        turn.save_given_value(data, event.values[data_key])
        if data.revision > 1:
            turn.tell_value(data_key, data.revision)


def check(
    node: WorkflowNode, event: EditRequested, capacity: Capacity, next_attempt_key: int
) -> Edit:
    """What would be done. Changes nothing. Raises WrongState where something that runs would be
    changed, and MissingInputs."""
    turns = node.turns
    require_able_to_go_on(node)
    changes = difference(
        node.workflow,
        event.workflow,
        event.values_before,
        {key: value.sha256 for key, value in event.values.items()},
    )
    if not changes and (node.is_over or not is_said_again(node, event)):
        return Edit(changes, {}, node, None, None, turns)
    if not node.is_over:
        refuse_changes_under_what_runs(node, event, changes)
        refuse_changes_of_what_began(node, event)
    anew = built_anew(node, event, changes, capacity, next_attempt_key)
    absent = absent_of(event)
    if node.is_over:
        plan = planning.plan(anew, Selection(), event.files)
        if not anew.wait_for_inputs:
            refuse_missing_inputs(anew, [anew.jobs[key] for key in plan.runs], absent)
        verdicts = {key: Verdict(one.outlook, one.reason) for key, one in plan.verdicts.items()}
        begun = None
        if plan.runs:
            begun = restarting.at_the_beginning(anew, plan, absent, event.at, capacity)
        return Edit(changes, verdicts, anew, plan, begun, turns)
    if not anew.wait_for_inputs:
        refuse_missing_inputs(anew, with_new_needs(node, anew, changes), absent)
    return Edit(changes, dict(_of_one_that_goes_on(anew, changes)), anew, None, None, turns)


def said(changes: Difference) -> str:
    """`jobs: 1 added, 2 changed; files: 1 removed`."""
    parts = []
    for kind, name in (("job", "jobs"), ("file", "files"), ("user_data", "user_data")):
        counts = [
            f"{len(found)} {how}"
            for how in ("added", "removed", "changed")
            if (found := changes.of(kind, how))  # type: ignore[arg-type]
        ]
        if counts:
            parts.append(f"{name}: {', '.join(counts)}")
    if changes.of("workflow", "changed"):
        parts.append("the workflow itself")
    return "; ".join(parts)


# What is done


def _of_one_that_goes_on(
    anew: WorkflowNode, changes: Difference
) -> Iterator[tuple[JobKey, Verdict]]:
    """Its new and its changed jobs."""
    added, changed = changes.of("job", "added"), changes.of("job", "changed")
    for key, job in anew.jobs.items():
        if key not in added and key not in changed:
            continue
        if isinstance(job.state, Blocked | Ready):
            spoiled = next((gate for gate in job.awaits if gate.spoiled), None)
            if spoiled is not None and job.job.cancel_on_blocking_job_failure:
                yield key, Verdict("next_run", "what it needs ended badly, so it is canceled")
            elif key in added:
                yield key, Verdict("will_run", "it is new")
            else:
                yield key, Verdict("will_run", "it has not started, and runs as it is now")
        elif isinstance(job.state, Ended) and not RERUN_FIELDS.isdisjoint(changed[key].fields):
            status = job.state.status
            past = "has completed" if status is JobStatus.COMPLETED else wording.PAST[status]
            how = "torcctl restart" if status is JobStatus.COMPLETED else "torcctl retry"
            yield key, Verdict("next_run", f"it {past} in this run; {how} runs it as it is now")
        else:
            yield key, Verdict("up_to_date", "nothing that makes it run again has changed")


def go_on(turn: Turn, changes: Difference, absent: frozenset[FileKey]) -> None:
    """In the same run."""
    node = turn.node
    for key in changes.of("job", "changed"):
        job = node.jobs[JobKey(key)]
        if isinstance(job.state, Blocked | Ready):
            turn.save_job(job)
    turn.take_up(absent)
    watch_files(turn)


def _judge_again(turn: Turn) -> None:
    """It is over, and nothing runs: but the job because of which it failed may be gone."""
    node = turn.node
    final = node.final_status
    if node.status is WorkflowStatus.CANCELED or final is None or final is node.status:
        return
    node.status = final
    turn.save_workflow()


def record(
    before: Workflow, event: EditRequested, changes: Difference, next_key: int
) -> EditWorkflow:
    after = event.workflow
    jobs = {job.key: job for job in before.jobs}
    files = {file.key: file for file in before.files}
    data = {*changes.of("user_data", "added"), *changes.of("user_data", "changed")}
    return EditWorkflow(
        workflow=after,
        # Also those that only wait for another group than before.
        jobs=tuple(job for job in after.jobs if jobs.get(job.key) != job),
        files=tuple(file for file in after.files if files.get(file.key) != file),
        user_data=tuple(one for one in after.user_data if one.key in data),
        removed_jobs=tuple(map(JobKey, changes.of("job", "removed"))),
        removed_files=tuple(map(FileKey, changes.of("file", "removed"))),
        removed_user_data=tuple(map(DataKey, changes.of("user_data", "removed"))),
        next_key=next_key,
        at=event.at,
        spec=event.spec,
    )


def _only_the_spec(memory: Memory, node: WorkflowNode, event: EditRequested) -> list[Command]:
    turn = Turn(memory, node, event.at)
    turn.add(
        EditWorkflow(
            workflow=node.workflow,
            jobs=(),
            files=(),
            user_data=(),
            removed_jobs=(),
            removed_files=(),
            removed_user_data=(),
            next_key=memory.next_key,
            at=event.at,
            spec=event.spec,
        )
    )
    watch_files(turn)  # after an edit nobody does any more
    return turn.commands


def _keys(workflow: Workflow) -> set[int]:
    """All that it has."""
    sections = (workflow.jobs, workflow.files, workflow.user_data, workflow.groups)
    return {workflow.key, *(item.key for section in sections for item in section)}
