"""What people and jobs ask for. A refusal is raised before anything has changed."""

import msgspec

from torcd import errors
from torcd.model import JobStatus, Reason, WorkflowStatus
from torcd.scheduler import acting, freezing, limits, storing, wording
from torcd.scheduler.arriving import refuse_missing_inputs
from torcd.scheduler.building import AS_SUBMITTED, as_loaded, build
from torcd.scheduler.commands import Command
from torcd.scheduler.events import (
    ArchiveRequested,
    CancelRequested,
    DeleteRequested,
    DisableRequested,
    DrainRequested,
    EnableRequested,
    PauseRequested,
    ResumeRequested,
    StoreRequested,
)
from torcd.scheduler.job_states import Blocked, Disabled, Ended, Pending, Ready, Stop
from torcd.scheduler.memory import Memory, jobs_of
from torcd.scheduler.retrying import go_on, require_able_to_go_on
from torcd.scheduler.state import WorkflowNode
from torcd.scheduler.turn import Turn


def store(memory: Memory, event: StoreRequested) -> list[Command]:
    node = memory.workflow(event.workflow_key)
    key, attempt_key = event.data_key, event.attempt_key
    data = node.data.get(key)
    if data is None:
        raise errors.NotFound(f"no user_data has the key {key}", name=str(key))
    producer = None
    if attempt_key is not None:
        found = memory.attempts.get(attempt_key)
        if found is None or found[0] is not node:
            raise errors.Denied("the token is void: its attempt has ended")
        producer = found[1]
        if key not in producer.job.output_user_data:
            raise errors.NotDeclared(
                f'job "{producer.job.name}" does not declare "{data.data.name}" as an output: '
                "add it to its output_user_data",
                name=data.data.name,
            )
        if not storing.spreads(node, data):
            node.turns += 1
            return storing.keep(memory, node, data, event.value, producer, attempt_key, event.at)
    turn = Turn(memory, node, event.at)
    turn.store(key, event.value, producer, attempt_key)
    return turn.end()


def cancel(memory: Memory, event: CancelRequested) -> list[Command]:
    node = memory.workflow(event.workflow_key)
    if node.is_over:
        # Its words are those of any other change that comes too late.
        memory.unfinished_workflow(event.workflow_key, "canceled")
    if event.jobs is None:
        turn = Turn(memory, node, event.at)
        if node.actions is not None:
            acting.stop(turn, node.actions)
        if node.stopping:
            return turn.end()
        node.stopping = True
        node.frozen_since = None  # what is told to end is not held up
        turn.save_workflow()
        turn.cancel(node.jobs.values(), Stop(Reason.CANCELED, "canceled with its workflow"))
        return turn.end()
    jobs = jobs_of(node, event.jobs)
    if jobs and all(isinstance(job.state, Ended | Disabled) for job in jobs):
        status = jobs[0].state.status.value
        raise errors.WrongState(
            f"there is nothing to cancel: {wording.names(jobs)} ended already ({status})",
            status=status,
        )
    turn = Turn(memory, node, event.at)
    turn.cancel(jobs, Stop(Reason.CANCELED, "canceled on request"))
    return turn.end()


def pause(memory: Memory, event: PauseRequested) -> list[Command]:
    node = memory.unfinished_workflow(event.workflow_key, "paused")
    was_paused = node.status is WorkflowStatus.PAUSED
    freezes = event.freezes and node.frozen_since is None
    if was_paused and not freezes:
        return []
    turn = Turn(memory, node, event.at)
    node.status = WorkflowStatus.PAUSED
    if freezes:
        node.frozen_since = event.at
    turn.save_workflow()
    if not was_paused:
        turn.revoke_pending()
    if freezes:
        freezing.freeze(node, turn)
    return turn.end()


def drain(memory: Memory, event: DrainRequested) -> list[Command]:
    memory.is_draining = True
    commands: list[Command] = []
    for node in memory.workflows.values():
        turn = Turn(memory, node, event.at)
        turn.revoke_pending()
        commands += turn.end()
    return commands


def resume(memory: Memory, event: ResumeRequested) -> list[Command]:
    node = memory.unfinished_workflow(event.workflow_key, "resumed")
    if node.status is WorkflowStatus.RUNNING:
        return []
    turn = Turn(memory, node, event.at)
    node.status = WorkflowStatus.RUNNING
    since, node.frozen_since = node.frozen_since, None
    turn.save_workflow()
    if since is not None:
        freezing.thaw(node, turn, since, event.at)
        limits.watch_again(memory, node)
    return turn.end()


def disable(memory: Memory, event: DisableRequested) -> list[Command]:
    node = memory.workflow(event.workflow_key)
    if node.is_over:
        return _disable_in_one_that_is_over(memory, node, event)
    memory.unfinished_workflow(event.workflow_key, "changed")
    jobs = jobs_of(node, event.jobs)
    for job in jobs:
        if isinstance(job.state, Pending):
            raise errors.WrongState(
                f'job "{job.job.name}" is about to start: to disable it, pause the workflow first '
                "(torcctl pause), so that it is taken back",
                status=job.state.status.value,
            )
        if not isinstance(job.state, Blocked | Ready | Disabled):
            raise errors.WrongState(
                f'job "{job.job.name}" is {job.state.status.value}: only a job that has not '
                "started can be disabled",
                status=job.state.status.value,
            )
    turn = Turn(memory, node, event.at)
    turn.disable(jobs, event.absent_files)
    return turn.end()


def _disable_in_one_that_is_over(
    memory: Memory, node: WorkflowNode, event: DisableRequested
) -> list[Command]:
    """Whatever became of them, the next run is to do without them."""
    jobs = [job for job in jobs_of(node, event.jobs) if not isinstance(job.state, Disabled)]
    keys = [job.job.key for job in jobs]
    was = as_loaded(node, event.at)
    states = tuple(
        msgspec.structs.replace(
            AS_SUBMITTED,
            status=JobStatus.DISABLED,
            run_id=saved.run_id,
            attempt_id=saved.attempt_id,
            trace=saved.trace,
        )
        if key in keys
        else saved
        for key, saved in zip(node.jobs, was.jobs, strict=True)
    )
    actions = node.actions
    node.become(build(msgspec.structs.replace(was, jobs=states), memory.ledger.capacity))
    node.actions = actions
    turn = Turn(memory, node, event.at)
    for key in keys:
        turn.save_job(node.jobs[key])
        if actions is not None:
            actions.note(node.jobs[key])
    return turn.end()


def enable(memory: Memory, event: EnableRequested) -> list[Command]:
    node = memory.workflow(event.workflow_key)
    require_able_to_go_on(node)
    if node.actions is not None and node.actions.at_the_end:
        raise errors.WrongState(
            f"workflow {node.key} is at its end already: its on_workflow_complete commands have "
            "begun",
            status=node.status.value,
        )
    jobs = jobs_of(node, event.jobs)
    for job in jobs:
        if not isinstance(job.state, Disabled):
            raise errors.WrongState(
                f'job "{job.job.name}" is {job.state.status.value}, not disabled',
                status=job.state.status.value,
            )
    if not node.wait_for_inputs:
        refuse_missing_inputs(node, jobs, event.absent_files)
    turn = Turn(memory, node, event.at)
    go_on(turn, event.files)
    turn.enable(jobs, event.absent_files)
    return turn.end()


def archive(memory: Memory, event: ArchiveRequested) -> list[Command]:
    node = memory.workflow(event.workflow_key)
    if not node.is_over:
        raise errors.WrongState(
            f"workflow {node.key} is {node.status.value}: only one that is over can be archived",
            status=node.status.value,
        )
    if node.archived == event.archived:
        return []
    turn = Turn(memory, node, event.at)
    node.archived = event.archived
    turn.save_workflow()
    return turn.end()


def delete(memory: Memory, event: DeleteRequested) -> list[Command]:
    node = memory.workflow(event.workflow_key)
    if not node.is_over:
        raise errors.WrongState(
            f"workflow {node.key} is {node.status.value}: cancel it first, or delete it with "
            "--force",
            status=node.status.value,
        )
    turn = Turn(memory, node, event.at)
    turn.remove_workflow()
    del memory.workflows[node.key]
    return turn.commands
