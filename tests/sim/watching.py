"""What must hold in the make-believe world, whatever happens; an AssertionError where it does not.

The scheduler's own invariants look at its memory. These look at what comes out of it.
"""

import math
from typing import TYPE_CHECKING, Any

import msgspec

from torcd.errors import UserError
from torcd.model import (
    ENDED,
    AttemptKey,
    FileKey,
    Happening,
    Job,
    JobKey,
    JobStatus,
    Reason,
    Timestamp,
    Workflow,
    WorkflowKey,
    WorkflowStatus,
)
from torcd.scheduler import Scheduler, choosing
from torcd.scheduler import events as e
from torcd.scheduler.commands import (
    AddAttempt,
    AddCommand,
    Command,
    RevokeAttempt,
    SaveAttempt,
    SaveValue,
    StartAttempt,
    StartCommand,
    StopAttempt,
    ThawAttempt,
)

from . import actions, naive
from .executor import Life
from .workflows import CAPACITY

if TYPE_CHECKING:
    from .world import World


def check_that_loading_is_resuming(world: "World", before: dict[WorkflowKey, Any]) -> None:
    other = Scheduler(
        next_key=world.store.next_key,
        next_attempt_key=world.store.next_attempt_key,
        next_happening=world.store.next_happening,
        capacity=CAPACITY,
        is_loading=True,  # nothing new is to start
    )
    for key in world.store.unfinished():
        other.handle(world.store.load(key, frozenset(world.absent), world.now))
    after = picture(other, world.absent)
    for key, seen in before.items():
        if key in after or not seen["is over"]:
            assert after[key] == seen


def check_orders_are_repeated(world: "World", key: WorkflowKey, commands: list[Command]) -> None:
    """What was wanted of each attempt before the restart is wanted of it again."""
    row = world.store.workflow_rows[key]
    orders: dict[AttemptKey, list[type[Command]]] = {}
    for command in commands:
        if isinstance(command, StartAttempt):
            assert command.gpus == world.view.attempts[command.attempt_key].gpus
        if isinstance(
            command, StartAttempt | StartCommand | StopAttempt | RevokeAttempt | ThawAttempt
        ):
            orders.setdefault(command.attempt_key, []).append(type(command))
    for attempt_key, attempt in world.store.active_attempts().items():
        if attempt.workflow_key != key:
            continue
        job = world.store.job_rows[attempt.job_key]
        wanted: list[type[Command]] = [StartAttempt]
        if job is not None and job.stopping:
            is_to_end = job.reason is not Reason.DEPENDENCY or _comes_after_what_stops(
                world, attempt_key
            )
            wanted.append(StopAttempt if is_to_end else RevokeAttempt)
        elif row.status is WorkflowStatus.PAUSED:
            wanted.append(RevokeAttempt)
        was_frozen = attempt_key in world.store.frozen and row.frozen_since is None
        if was_frozen and StopAttempt not in wanted:
            wanted.append(ThawAttempt)
        assert orders.get(attempt_key) == wanted
    for added in world.store.active_commands(key):
        was_stopped = added.attempt_key in world.store.command_rows
        wanted = [StartCommand, StopAttempt] if was_stopped else [StartCommand]
        was_frozen = added.attempt_key in world.store.frozen and row.frozen_since is None
        if was_frozen and not was_stopped:
            wanted.append(ThawAttempt)
        assert orders.get(added.attempt_key) == wanted


def check_freezing(world: "World") -> None:
    """When all has been said and heard, what runs of a frozen workflow stands still, and nothing
    else does, but what was told to end."""
    if world.scheduler is None or world.is_something_under_way:
        return
    for attempt in world.executor.of(Life.RUNNING):
        row = world.store.workflow_rows[attempt.order.workflow_key]
        is_to_stand_still = row.frozen_since is not None and not attempt.is_told_to_stop
        assert attempt.is_frozen == is_to_stand_still


def check_refusal(world: "World", event: e.Event, error: UserError) -> None:
    if isinstance(event, e.StoreRequested) and event.attempt_key is not None:
        attempt = world.executor.attempts.get(event.attempt_key)
        assert attempt is None or attempt.life is Life.OVER, f"a running job was told: {error}"


def check_told(world: "World", before: dict[JobKey, JobStatus], commands: list[Command]) -> None:
    assert world.scheduler is not None
    told: dict[JobKey | None, str | None] = {}
    for happening in commands:
        if isinstance(happening, Happening) and happening.kind == "job_changed":
            news = msgspec.structs.replace(happening, number=0, at=Timestamp(0))
            assert world.last_told.get(happening.job_key) != news, "the same is told again"
            world.last_told[happening.job_key] = news
            told[happening.job_key] = happening.status
    for key, status in statuses(world.scheduler).items():
        if before.get(key, status) is not status:
            assert told.get(key) == status.value, f"job {key} is {status}, which is not told"


def _comes_after_what_stops(world: "World", attempt_key: AttemptKey) -> bool:
    """Then it may have started, and is to end as well."""
    active = world.store.active_attempts()
    attempt = active[attempt_key]
    workflow = world.workflow(attempt.workflow_key)
    [job] = [job for job in workflow.jobs if job.key == attempt.job_key]
    before = {key for subject, key in naive.producers(workflow, job) if subject is None}
    for key, leader in active.items():
        row = world.store.job_rows[leader.job_key] if leader.job_key in before else None
        if row is not None and row.stopping and key < attempt_key:
            return row.reason is not Reason.DEPENDENCY or _comes_after_what_stops(world, key)
    return False


def check_choices(world: "World", commands: list[Command]) -> None:
    assert world.scheduler is not None
    after = {c.attempt_key: c.after for c in commands if isinstance(c, StartAttempt)}
    for command in commands:
        if isinstance(command, StopAttempt):
            check_stop(world, command.attempt_key)
        if isinstance(command, AddCommand):
            actions.check_choice(world, command)
        if not isinstance(command, AddAttempt):
            continue
        actions.check_that_none_holds_jobs(world, command.workflow_key)
        node = world.scheduler.workflows[command.workflow_key]
        mean = math.inf if node.mean_microseconds is None else max(node.mean_microseconds, 1)
        ahead = node.max_parallel_jobs * choosing.LOOKAHEAD_MICROSECONDS // mean
        most = node.max_parallel_jobs + min(ahead, choosing.MAX_LOOKAHEAD)
        assert choosing.taken(node) <= most
        if after.get(command.attempt_key) is not None:
            assert node.in_flight <= most
        row = world.view.workflow_rows[command.workflow_key]
        assert row.status is WorkflowStatus.RUNNING
        assert not row.stopping
        assert not world.scheduler.is_draining
        workflow = world.workflow(command.workflow_key)
        [job] = [job for job in workflow.jobs if job.key == command.job_key]
        before = after.get(command.attempt_key)
        leader = None if before is None else leader_of(world, workflow, job, before)
        assert naive.inputs_are_there(world.view, workflow, job, world.absent, leader), (
            f"{job.name} was chosen before what it needs is there"
        )


def leader_of(world: "World", workflow: Workflow, job: Job, attempt_key: AttemptKey) -> JobKey:
    """An executor can see whether it ends well, and if it does not, `job` need not run."""
    assert job.cancel_on_blocking_job_failure
    key = world.view.active_attempts()[attempt_key].job_key
    [made] = [(j.output_files, j.output_user_data) for j in workflow.jobs if j.key == key]
    assert made == ((), ())
    return key


def check_values(event: e.Event, commands: list[Command]) -> None:
    """What an attempt left behind is kept if it ended well, all of it, and else nothing."""
    if isinstance(event, e.AttemptExited):
        saved = [(c.data_key, c.value) for c in commands if isinstance(c, SaveValue)]
        is_news = any(isinstance(c, SaveAttempt) for c in commands)
        kept = event.outputs.values if is_news and event.return_code == 0 else ()
        assert saved == list(kept)


def check_shares(world: "World") -> None:
    """What is written down to run, or may, fits into the machine, and no GPU is given twice."""
    cpus = memory = 0
    gpus: list[int] = []
    for attempt in world.view.active_attempts().values():
        [job] = [j for j in world.workflow(attempt.workflow_key).jobs if j.key == attempt.job_key]
        asks = job.resources
        if asks is None:
            assert attempt.gpus == ()
            continue
        cpus += min(asks.num_cpus, CAPACITY.cpus)
        memory += min(asks.memory_bytes or 0, CAPACITY.memory_bytes)
        assert len(attempt.gpus) == min(asks.num_gpus, CAPACITY.gpus)
        gpus += attempt.gpus
    assert cpus <= CAPACITY.cpus
    assert memory <= CAPACITY.memory_bytes
    assert len(gpus) == len(set(gpus))
    assert set(gpus) <= set(range(CAPACITY.gpus))


def check_stop(world: "World", key: AttemptKey) -> None:
    """Only what somebody canceled or what has run for too long is killed."""
    attempt = world.view.attempts.get(key) or world.view.commands[key]
    workflow = world.workflow(attempt.workflow_key)
    history = naive.History(workflow, world.log + world.decided)
    if isinstance(attempt, AddCommand):
        assert history.is_canceled, "the command of an action is killed"
        return
    ended = history.canceled_at | history.timed_out_at
    is_asked = attempt.job_key in ended
    # One that may have started when what it comes after was canceled is killed as well.
    before = {attempt.job_key} if not is_asked else set()
    while before and not is_asked:
        jobs = [job for job in workflow.jobs if job.key in before]
        before = {key for job in jobs for _, key in naive.producers(workflow, job)}
        is_asked = bool(before & ended.keys())
    assert is_asked, "killed, and nobody asked"


def check_the_end(world: "World") -> None:
    """All is calm: everything is over, as it must be, and nothing is left."""
    assert not world.executor.attempts
    assert world.store.active_attempts() == {}
    assert world.store.active_commands() == []
    for key, created in world.store.workflows.items():
        history = naive.History(created.workflow, world.log)
        for job in created.workflow.jobs:
            status = world.store.status(job.key)
            assert status is history.status(job.key), f"{job.name} of workflow {key}"
            assert status in ENDED
            assert world.store.told[job.key] == status.value
        assert world.store.workflow_rows[key].status is history.workflow_status()
        actions.check_the_end(world, key, is_canceled=history.is_canceled)
    for saved in world.answered:
        assert world.store.values[saved.data_key][saved.revision - 1] == saved


def statuses(scheduler: Scheduler) -> dict[JobKey, JobStatus]:
    return {
        key: job.state.status
        for node in scheduler.workflows.values()
        for key, job in node.jobs.items()
    }


def picture(scheduler: Scheduler, absent: set[FileKey]) -> dict[WorkflowKey, Any]:
    """All that must be the same after a restart. What ran is pending until it is heard of."""
    found = {}
    for key, node in scheduler.workflows.items():
        late = [file for file, gate in node.file_gates.items() if gate.missing != (file in absent)]
        if late and node.wait_for_inputs:
            continue  # a file is there of which it has not heard
        gates = {gate.subject: gate for job in node.jobs.values() for gate in job.awaits}
        found[key] = {
            "status": (node.status, node.stopping, node.run_id, node.started_at),
            "frozen since": node.frozen_since,
            "is over": node.is_over,
            "in flight": node.in_flight,
            "jobs": {
                job_key: (
                    JobStatus.PENDING
                    if job.state.status is JobStatus.RUNNING
                    else job.state.status,
                    job.is_stopping,
                    (job.run_id, job.attempt_id) if job.attempt_id else None,
                    job.waits,
                    job.trace,
                    job.may_skip,
                    job.has_script_to_run,
                    job.frozen_microseconds
                    if job.state.status in (JobStatus.PENDING, JobStatus.RUNNING)
                    else 0,
                )
                for job_key, job in node.jobs.items()
            },
            "gates": {
                subject: (gate.missing, gate.spoiled, gate.made, gate.opens_early)
                for subject, gate in gates.items()
            },
            "actions": actions.picture(node),
            "files": node.file_states,
            "data": {
                data_key: (
                    data.revision,
                    data.is_stored_in_run,
                    data.sha256,
                    data.initial_sha256,
                    data.changed_at,
                )
                for data_key, data in node.data.items()
            },
        }
    return found
