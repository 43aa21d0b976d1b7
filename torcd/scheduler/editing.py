"""Another spec for a workflow there is, in one event and one transaction.

The workflow is built anew (`torcd.scheduler.building`), from its new spec and from what had become
of the jobs that are in both. What is done then depends on whether it was over:

    over      a new run of all that is out of date, as a restart would begin, if anything is; what
              is new never ran, and so is among it
    not over  the same run goes on. New jobs, and changed ones that have not started, run in it;
              what has ended stays as it is, and is out of date for the next run if it has become
              another one

What runs, or may start at any moment, is never changed under it: an edit is refused that changes
or removes such a job, or a file or user_data that it declares, but for the value that is given. A
job that is gone takes nothing with it: what it made is there, and its results are kept.
"""

from collections.abc import Iterator
from typing import Literal

import msgspec

from torcd import errors
from torcd.model import (
    AttemptKey,
    Capacity,
    DataKey,
    FileKey,
    JobKey,
    JobStatus,
    Timestamp,
    Workflow,
    WorkflowStatus,
)
from torcd.scheduler import planning, restarting, wording
from torcd.scheduler.actions import ActionNode, Actions
from torcd.scheduler.arriving import refuse_missing_inputs, watch_files
from torcd.scheduler.building import AS_SUBMITTED, as_loaded, build
from torcd.scheduler.commands import Command, EditWorkflow, SaveFile
from torcd.scheduler.comparing import RERUN_FIELDS, Difference, difference
from torcd.scheduler.events import EditRequested, LoadedCommand, LoadedValue, Selection
from torcd.scheduler.memory import Memory
from torcd.scheduler.retrying import require_able_to_go_on
from torcd.scheduler.state import (
    Blocked,
    Ended,
    JobNode,
    Pending,
    Ready,
    Running,
    WorkflowNode,
)
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
    ones."""
    node: WorkflowNode
    """The workflow, built anew."""
    plan: planning.Plan | None
    """What is to run, of one that is over."""

    @property
    def runs(self) -> bool:
        """Whether a new run begins."""
        return self.plan is not None and bool(self.plan.runs)


def edit(memory: Memory, event: EditRequested) -> list[Command]:
    node = memory.workflow(event.workflow_key)
    found = check(node, event, memory.ledger.capacity, memory.next_attempt_key)
    if not found.difference:
        return []
    before, states_before = node.workflow, node.file_states
    keys = _keys(event.workflow)
    if any(key < memory.next_key for key in keys - _keys(before)):
        raise ValueError(f"keys of what is new begin at {memory.next_key}")
    memory.next_key = max(memory.next_key, max(keys) + 1)
    node.become(found.node)
    for job in node.jobs.values():
        if isinstance(job.state, Pending | Running):
            memory.attempts[job.state.attempt_key] = (node, job)
    active = None if node.actions is None else node.actions.active
    if active is not None and isinstance(active.state, Pending | Running):
        memory.action_attempts[active.state.attempt_key] = (node, active)
    if not node.asking:
        memory.line.leave(node)
    absent = _absent(event)
    if found.plan is not None and found.plan.runs:
        restarting.begin_run(memory, node, found.plan, absent, event.at)
    turn = Turn(memory, node, event.at)
    turn.outbox.add(_record(before, event.workflow, found.difference, memory.next_key, event.at))
    turn.outbox.tell_edited(said(found.difference))
    for key in states_before:
        if key in node.files and key not in node.file_states:
            turn.outbox.add(SaveFile(workflow_key=node.key, file_key=key, state=None))
    for data_key in _given(event, found.difference):
        data = node.data[data_key]
        turn.outbox.save_given_value(data, event.values[data_key])
        if data.revision > 1:
            turn.outbox.tell_value(data_key, data.revision, None)
    if found.plan is None:
        _go_on(turn, found, absent)
    elif found.plan.runs:
        restarting.run_again(turn, found.plan, event.files, absent)
    else:
        turn.looked_at(event.files.items())
        _judge_again(turn)
        turn.close()
        return turn.outbox.commands
    return turn.end()


def check(
    node: WorkflowNode, event: EditRequested, capacity: Capacity, next_attempt_key: int
) -> Edit:
    """What would be done. Changes nothing. Raises WrongState where something that runs would be
    changed, and MissingInputs."""
    require_able_to_go_on(node)
    changes = difference(
        node.workflow,
        event.workflow,
        event.values_before,
        {key: value.sha256 for key, value in event.values.items()},
    )
    if not node.is_over:
        _refuse_changes_under_what_runs(node, event, changes)
        _refuse_changes_of_what_began(node, event)
    anew = _built_anew(node, event, changes, capacity, next_attempt_key)
    absent = _absent(event)
    if node.is_over:
        plan = planning.plan(anew, Selection(), event.files)
        if not anew.wait_for_inputs:
            refuse_missing_inputs(anew, [anew.jobs[key] for key in plan.runs], absent)
        verdicts = {key: Verdict(one.outlook, one.reason) for key, one in plan.verdicts.items()}
        return Edit(changes, verdicts, anew, plan)
    if not anew.wait_for_inputs:
        refuse_missing_inputs(anew, _with_new_needs(node, anew, changes), absent)
    return Edit(changes, dict(_of_one_that_goes_on(anew, changes)), anew, None)


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


# What is refused


def _refuse_changes_under_what_runs(
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
        ". What has not started is taken back by torcctl pause; then apply again, and resume"
        if has_pending
        else ". Wait for its end, or cancel it (torcctl cancel JOB)"
    )
    raise errors.WrongState(
        f"workflow {node.key} is not changed: {text}{hint}", status=node.status.value
    )


def _refuse_changes_of_what_began(node: WorkflowNode, event: EditRequested) -> None:
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


def _with_new_needs(node: WorkflowNode, anew: WorkflowNode, changes: Difference) -> list[JobNode]:
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


# Built anew


def _built_anew(
    node: WorkflowNode,
    event: EditRequested,
    changes: Difference,
    capacity: Capacity,
    next_attempt_key: int,
) -> WorkflowNode:
    was = as_loaded(node, event.at)
    saved = dict(zip(node.jobs, was.jobs, strict=True))
    jobs = {job.key: saved.get(job.key, AS_SUBMITTED) for job in event.workflow.jobs}
    for key, change in changes.of("job", "changed").items():
        if not RERUN_FIELDS.isdisjoint(change.fields):
            jobs[JobKey(key)] = msgspec.structs.replace(jobs[JobKey(key)], may_skip=False)
    given = set(_given(event, changes))
    values: dict[DataKey, LoadedValue] = {}
    for data in event.workflow.user_data:
        key, value = data.key, was.values.get(data.key)
        if key in given:
            value = _stored(value, event.values[key].sha256, next_attempt_key)
        if value is not None:
            has_initial = data.is_ephemeral and key in event.values
            initial = event.values[key].sha256 if has_initial else None
            values[key] = msgspec.structs.replace(value, initial_sha256=initial)
    moved = changes.of("file", "changed")
    files = {file.key for file in event.workflow.files if file.key not in moved}
    anew = build(
        msgspec.structs.replace(
            was,
            workflow=event.workflow,
            jobs=tuple(jobs.values()),
            action_commands=() if node.actions is None else tuple(_begun(node.actions)),
            values=values,
            file_states={key: one for key, one in was.file_states.items() if key in files},
            stored_in_run={key: one for key, one in was.stored_in_run.items() if key in values},
            absent_files=_absent(event),
        ),
        capacity,
    )
    anew.mean_microseconds = node.mean_microseconds
    for job_key, job in anew.jobs.items():
        before = node.jobs.get(job_key)
        if before is not None and isinstance(before.state, Running):
            # Built, it is pending: of what is loaded, nobody knows whether it runs.
            anew.counts[job.state.status] -= 1
            anew.counts[before.state.status] += 1
            job.state = before.state
    if anew.actions is not None and node.actions is not None:
        for new, old in zip(anew.actions.nodes, node.actions.nodes, strict=False):
            if old.has_begun:
                new.state = old.state
    return anew


def _stored(value: LoadedValue | None, sha256: str, next_attempt_key: int) -> LoadedValue:
    """The value that the spec gives now is the newest."""
    if value is None:
        return LoadedValue(revision=1, sha256=sha256, changed_at=0)
    is_other = value.sha256 != sha256
    return LoadedValue(
        revision=value.revision + 1,
        sha256=sha256,
        changed_at=next_attempt_key if is_other else value.changed_at,
    )


def _begun(actions: Actions) -> Iterator[LoadedCommand]:
    for action in actions.nodes:
        if action.has_begun:
            yield _command(action)


def _command(action: ActionNode) -> LoadedCommand:
    state = action.state
    key, stop, ended = AttemptKey(0), None, None
    if isinstance(state, Pending | Running):
        key, stop = state.attempt_key, state.stop
    elif isinstance(state, Ended):
        ended = state
    return LoadedCommand(
        attempt_key=key,
        action=action.number,
        command=action.command,
        status=state.status,
        reason=stop.reason if stop else ended.reason if ended else None,
        message=stop.message if stop else ended.message if ended else None,
        return_code=ended.return_code if ended else None,
        started_at=ended.started_at if ended else None,
        ended_at=ended.ended_at if ended else None,
        frozen_microseconds=action.frozen_microseconds,
    )


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


def _go_on(turn: Turn, found: Edit, absent: frozenset[FileKey]) -> None:
    """In the same run."""
    node = turn.node
    for key in found.difference.of("job", "changed"):
        job = node.jobs[JobKey(key)]
        if isinstance(job.state, Blocked | Ready):
            turn.outbox.save_job(job)
    turn.take_up(absent)
    watch_files(turn)


def _judge_again(turn: Turn) -> None:
    """It is over, and nothing runs: but the job because of which it failed may be gone."""
    node = turn.node
    final = node.final_status
    if node.status is WorkflowStatus.CANCELED or final is None or final is node.status:
        return
    node.status = final
    turn.outbox.save_workflow()


def _record(
    before: Workflow, after: Workflow, changes: Difference, next_key: int, at: Timestamp
) -> EditWorkflow:
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
        at=at,
    )


def _keys(workflow: Workflow) -> set[int]:
    """All that it has."""
    sections = (workflow.jobs, workflow.files, workflow.user_data, workflow.groups)
    return {workflow.key, *(item.key for section in sections for item in section)}


def _given(event: EditRequested, changes: Difference) -> list[DataKey]:
    """The user_data that the new spec gives another value."""
    new = changes.of("user_data", "added")
    changed = {k for k, c in changes.of("user_data", "changed").items() if "data" in c.fields}
    return [key for key in event.values if key in new or key in changed]


def _absent(event: EditRequested) -> frozenset[FileKey]:
    return frozenset(key for key, state in event.files.items() if state is None)
