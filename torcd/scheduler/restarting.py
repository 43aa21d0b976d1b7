"""A new run of a workflow that is over, of what is out of date in it.

What is to run is for `torcd.scheduler.planning` to say. It is carried out by building the workflow
anew, from what it was but for the jobs that will run or may, which are blocked: as if it had been
loaded like that. So a job is ready after a restart for the same reasons as ever. All of it is one
event, and one transaction. When nothing would run, nothing changes.

In a large workflow this takes seconds, and all but the last step changes nothing. So it can be
prepared elsewhere, and the event has what came of that: it holds if nothing has happened to the
workflow since, and else it is done again.
"""

from collections.abc import Mapping

import msgspec

from torcd import errors
from torcd.model import Capacity, DataKey, FileKey, FileState, JobStatus, Timestamp, WorkflowStatus
from torcd.scheduler import planning, wording
from torcd.scheduler.arriving import refuse_missing_inputs, watch_files
from torcd.scheduler.building import AS_SUBMITTED, as_loaded, build
from torcd.scheduler.commands import Command
from torcd.scheduler.events import RestartRequested
from torcd.scheduler.memory import Memory
from torcd.scheduler.rebuilding import absent_of
from torcd.scheduler.retrying import refuse_archived
from torcd.scheduler.state import WorkflowNode
from torcd.scheduler.turn import Turn


class Prepared(msgspec.Struct, frozen=True):
    """A restart that can be carried out, as long as the workflow has had no turn since. Once: its
    nodes are the workflow's then."""

    plan: planning.Plan
    begun: WorkflowNode | None
    """The workflow at the beginning of the new run; None: nothing would run."""
    turns: int
    """How many it had had."""


def restart(memory: Memory, event: RestartRequested) -> list[Command]:
    node = memory.workflow(event.workflow_key)
    prepared = event.prepared
    if prepared is None or prepared.turns != node.turns:
        prepared = prepare(node, event, memory.ledger.capacity)
    if prepared.begun is None:
        return []
    node.become(prepared.begun)
    turn = Turn(memory, node, event.at)
    run_again(turn, prepared.plan, event.files, absent_of(event))
    return turn.end()


def prepare(node: WorkflowNode, event: RestartRequested, capacity: Capacity) -> Prepared:
    """All that can be done without changing anything. Raises what `restart` would."""
    turns = node.turns
    plan = check(node, event)
    runs = plan.runs
    if not runs:
        return Prepared(plan, None, turns)
    absent = absent_of(event)
    if not node.wait_for_inputs:
        refuse_missing_inputs(node, [node.jobs[key] for key in runs], absent)
    return Prepared(plan, at_the_beginning(node, plan, absent, event.at, capacity), turns)


def check(node: WorkflowNode, event: RestartRequested) -> planning.Plan:
    """What would run. Raises WrongState for a workflow that cannot be restarted like this."""
    require_over(node)
    plan = planning.plan(node, event.selection, event.files)
    for key, culprit in plan.held_back.items():
        name, needed = node.jobs[key].job.name, node.jobs[culprit]
        raise errors.WrongState(
            f'"{name}" cannot run: it needs "{needed.job.name}", which '
            f"{wording.PAST[needed.state.status]}. Name that one, too, or restart all of it",
            status=needed.state.status.value,
        )
    _refuse_what_nobody_makes_again(node, plan, event)
    return plan


def require_over(node: WorkflowNode) -> None:
    """Raises WrongState unless it may be restarted."""
    if not node.is_over:
        what = "it has jobs that run" if node.in_flight else f"it is {node.status.value}"
        raise errors.WrongState(
            f"workflow {node.key} cannot be restarted: {what}. Wait for its end (torcctl wait), or "
            "cancel it (torcctl cancel --wait)",
            status=node.status.value,
        )
    refuse_archived(node)


def at_the_beginning(
    node: WorkflowNode,
    plan: planning.Plan,
    absent: frozenset[FileKey],
    at: Timestamp,
    capacity: Capacity,
) -> WorkflowNode:
    """The workflow in a new run in which nothing has happened yet."""
    was = as_loaded(node, at)
    jobs = []
    for key, saved in zip(node.jobs, was.jobs, strict=True):
        outlook = plan.verdicts[key].outlook
        if outlook != "up_to_date":
            saved = msgspec.structs.replace(
                AS_SUBMITTED,
                run_id=node.run_id + 1,
                trace=saved.trace,
                may_skip=outlook == "may_run",
            )
        jobs.append(saved)
    return build(
        msgspec.structs.replace(
            was,
            status=WorkflowStatus.RUNNING,
            run_id=node.run_id + 1,
            started_at=at,
            ended_at=None,
            jobs=tuple(jobs),
            stored_in_run={},
            absent_files=absent,
        ),
        capacity,
    )


def run_again(
    turn: Turn,
    plan: planning.Plan,
    files: Mapping[FileKey, FileState | None],
    absent: frozenset[FileKey],
) -> None:
    """The first turn of that run."""
    node = turn.node
    turn.save_workflow()
    turn.looked_at(files.items())
    for data_key in plan.to_clear:
        turn.clear(data_key)
    for key in plan.runs:
        turn.save_job(node.jobs[key], plan.verdicts[key].reason)
    turn.cancel_what_is_never_ready(absent)
    watch_files(turn)


def _refuse_what_nobody_makes_again(
    node: WorkflowNode, plan: planning.Plan, event: RestartRequested
) -> None:
    """Of a restart of some jobs: one that reads what is gone, and who made it is not to run."""
    if event.selection.jobs is None:
        return
    missing: list[str] = []
    seen: set[int] = set()
    for job in [node.jobs[key] for key in plan.runs]:
        for awaited in job.awaits:
            if awaited.subject in seen:
                continue
            seen.add(awaited.subject)
            for gate in awaited.members or (awaited,):
                makers = [p for p in gate.producers if p.state.status is not JobStatus.DISABLED]
                if (
                    makers
                    and _is_gone(node, gate.kind, gate.subject, event)
                    and not any(plan.verdicts[p.job.key].outlook != "up_to_date" for p in makers)
                ):
                    missing.append(
                        f'{wording.subject(node, gate)}, which "{job.job.name}" needs and '
                        f"{wording.names(makers)} made"
                    )
    if missing:
        raise errors.MissingInputs(
            "these are gone: " + "; ".join(missing) + ". Name the jobs that make them, too",
            names=missing,
        )


def _is_gone(node: WorkflowNode, kind: str, subject: int, event: RestartRequested) -> bool:
    if kind == "user_data":
        return node.data[DataKey(subject)].sha256 is None
    return kind == "file" and event.files.get(FileKey(subject), True) is None
