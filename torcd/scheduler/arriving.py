"""How a workflow comes to the scheduler, and what it waits for from outside."""

from collections.abc import Container, Iterable

from torcd import errors
from torcd.model import FileKey, JobStatus, WorkflowStatus
from torcd.scheduler import acting, recovering, wording
from torcd.scheduler.building import AS_SUBMITTED, build
from torcd.scheduler.commands import Command, CreateWorkflow, WatchFile
from torcd.scheduler.events import FileAppeared, LoadedValue, SubmitRequested, WorkflowLoaded
from torcd.scheduler.job_states import Pending
from torcd.scheduler.memory import Memory
from torcd.scheduler.nodes import JobNode
from torcd.scheduler.state import WorkflowNode
from torcd.scheduler.turn import Turn


def submit(memory: Memory, event: SubmitRequested) -> list[Command]:
    workflow = event.workflow
    if workflow.key != memory.next_key:
        raise ValueError(f"keys of a new workflow begin at {memory.next_key}")
    node = build(
        WorkflowLoaded(
            workflow=workflow,
            status=WorkflowStatus.RUNNING,
            stopping=False,
            run_id=1,
            max_parallel_jobs=event.max_parallel_jobs,
            wait_for_inputs=event.wait_for_inputs,
            started_at=event.at,
            ended_at=None,
            jobs=(AS_SUBMITTED,) * len(workflow.jobs),
            values={
                data.key: LoadedValue(
                    revision=1,
                    sha256=event.initial_values[data.key].sha256,
                    initial_sha256=(
                        event.initial_values[data.key].sha256 if data.is_ephemeral else None
                    ),
                )
                for data in workflow.user_data
                if data.key in event.initial_values
            },
            stored_in_run={},
            absent_files=event.absent_files,
            at=event.at,
        ),
        memory.ledger.capacity,
    )
    if not event.wait_for_inputs:
        refuse_missing_inputs(node, node.jobs.values(), event.absent_files)
    memory.next_key += workflow.size
    memory.workflows[workflow.key] = node
    turn = Turn(memory, node, event.at)
    turn.add(
        CreateWorkflow(
            workflow=workflow,
            max_parallel_jobs=node.max_parallel_jobs,
            wait_for_inputs=node.wait_for_inputs,
            next_key=memory.next_key,
            at=event.at,
            spec=event.spec,
        )
    )
    turn.tell_submitted()
    for key, value in event.initial_values.items():
        turn.save_given_value(node.data[key], value)
    watch_files(turn)
    return turn.end()


def load(memory: Memory, event: WorkflowLoaded) -> list[Command]:
    if event.workflow.key in memory.workflows:
        return []
    node = event.built or build(event, memory.ledger.capacity)
    former = memory.former.pop(node.key, None)
    if former is not None:
        former.become(node)
        node = former
    memory.workflows[node.key] = node
    turn = Turn(memory, node, event.at)
    if node.counts[JobStatus.PENDING]:
        turn.recall_followers()
        for job, saved in zip(node.jobs.values(), event.jobs, strict=True):
            if isinstance(job.state, Pending):
                turn.repeat(job, job.state, saved.gpus)
    recovering.repeat(memory, node)
    if node.actions is not None:
        acting.repeat(memory, node, turn, node.actions)
    watch_files(turn)
    return turn.end()


def loading_ended(memory: Memory) -> list[Command]:
    """Now it is known what runs, and what is left can be given out."""
    memory.is_loading = False
    memory.former = {}
    return []


def file_appeared(memory: Memory, event: FileAppeared) -> list[Command]:
    node = memory.workflows.get(event.workflow_key)
    gate = node.file_gates.get(event.file_key) if node else None
    if node is None or gate is None:
        return []
    turn = Turn(memory, node, event.at)
    turn.open_input(gate)
    return turn.end()


def refuse_missing_inputs(
    node: WorkflowNode, jobs: Iterable[JobNode], absent_files: Container[FileKey]
) -> None:
    """Raises MissingInputs for what these jobs need, that is not there and that no job makes."""
    needed: dict[int, str] = {}
    seen: set[int] = set()
    for job in jobs:
        for awaited in job.awaits:
            if awaited.subject in seen:
                continue
            seen.add(awaited.subject)
            for gate in awaited.members or (awaited,):
                if gate.is_input:
                    needed.setdefault(gate.subject, job.job.name)
    missing = [
        f'{wording.file(node, file.key)}, which job "{needed[file.key]}" needs'
        for file in node.workflow.files
        if file.key in needed and file.key in absent_files
    ]
    missing += [
        f'user_data "{data.name}", which job "{needed[data.key]}" needs'
        for data in node.workflow.user_data
        if data.key in needed and node.data[data.key].sha256 is None
    ]
    if missing:
        raise errors.MissingInputs(
            "these inputs are not there, and no job makes them: "
            + "; ".join(missing)
            + ". Provide them, or submit with --wait-for-inputs",
            names=missing,
        )


def watch_files(turn: Turn) -> None:
    """Have those that it waits for watched for."""
    node = turn.node
    if not node.wait_for_inputs or node.is_over:
        return
    for file in node.workflow.files:
        gate = node.file_gates.get(file.key)
        if gate is not None and gate.missing:
            turn.add(WatchFile(workflow_key=node.key, file_key=file.key, path=file.path))
