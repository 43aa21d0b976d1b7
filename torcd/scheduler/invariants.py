"""What is true between any two events. The simulation checks it after each.

Everything is counted again from the jobs' states, in one pass over jobs and gates.
"""

from collections.abc import Iterator

from torcd.model import ENDED_BADLY, AttemptKey, JobKey, JobStatus, WorkflowStatus
from torcd.scheduler import choosing, limits, recovering
from torcd.scheduler.action_invariants import actions_of, commands_of
from torcd.scheduler.job_states import Active, Blocked, Disabled, Ended, Ready, Running
from torcd.scheduler.machine import Scheduler
from torcd.scheduler.nodes import GateNode, JobNode, Queue
from torcd.scheduler.state import WorkflowNode


def violations(scheduler: Scheduler) -> list[str]:
    """Everything that is wrong; nothing, if the scheduler is right."""
    found: list[str] = []
    active: dict[AttemptKey, tuple[WorkflowNode, JobNode]] = {}
    is_draining = scheduler.is_draining
    for key, node in scheduler.workflows.items():
        if key != node.key:
            found.append(f"workflow {node.key}: is held as {key}")
        w = node.workflow
        last = (w.jobs[-1:], w.files[-1:], w.user_data[-1:], w.groups[-1:])
        if max(key, *(item.key for section in last for item in section)) >= scheduler.next_key:
            found.append(f"workflow {key}: its keys would be given again")
        found += (f"workflow {key}: {problem}" for problem in _workflow(node, is_draining))
        for job in node.jobs.values():
            found += (f'workflow {key}, "{job.job.name}": {problem}' for problem in _job(job))
            if isinstance(job.state, Active):
                if job.state.attempt_key in active:
                    found.append(f"attempt {job.state.attempt_key}: two jobs have it")
                active[job.state.attempt_key] = node, job
        found += (f"workflow {key}, {problem}" for problem in _gates(node))
    found += _shares(scheduler, active)
    found += _line(scheduler)
    found += _limits(scheduler, active)
    if active != {attempt: scheduler.active_attempt(attempt) for attempt in _held(scheduler)}:
        found.append("the index of active attempts is not that of the jobs")
    if commands_of(scheduler.workflows.values()) != dict(scheduler.action_attempts):
        found.append("the index of active commands is not that of the actions")
    return found


def _held(scheduler: Scheduler) -> list[AttemptKey]:
    return list(scheduler.active_attempts)


def _workflow(node: WorkflowNode, is_draining: bool) -> Iterator[str]:
    counts = dict.fromkeys(JobStatus, 0)
    for job in node.jobs.values():
        counts[job.state.status] += 1
    if node.counts != counts:
        yield f"counted {node.counts}, and there are {counts}"
    in_flight = counts[JobStatus.PENDING] + counts[JobStatus.RUNNING]
    following = sum(job.state.follows for job in node.jobs.values())
    if node.following != following:
        yield f"following is {node.following}, and there are {following}"
    if in_flight - following > node.max_parallel_jobs + choosing.MAX_LOOKAHEAD:
        yield "too many jobs were handed over"
    unfinished = in_flight + counts[JobStatus.BLOCKED] + counts[JobStatus.READY]
    actions_go_on = yield from actions_of(node, is_draining, jobs_have_ended=not unfinished)
    if (not unfinished and not actions_go_on) != node.is_over:
        yield f"is {node.status.value}, and {unfinished} jobs have not ended"
    if node.is_over != (node.ended_at is not None):
        yield f"is {node.status.value}, and ended at {node.ended_at}"
    if node.frozen_since is not None and (
        node.status is not WorkflowStatus.PAUSED or node.stopping
    ):
        yield f"is frozen, and {node.status.value}, and stopping is {node.stopping}"
    if node.is_over and node.stopping:
        yield "is over and still stopping"
    if node.stopping and any(
        isinstance(job.state, Blocked | Ready)
        or (isinstance(job.state, Active) and not job.is_stopping)
        for job in node.jobs.values()
    ):
        yield "is on its way out, and a job of it goes on"
    if node.status is WorkflowStatus.COMPLETED and any(counts[bad] for bad in ENDED_BADLY):
        yield "completed with a job that is not"
    starts = node.starts_jobs and not is_draining and not node.asking
    if starts and counts[JobStatus.READY] and in_flight - following < node.max_parallel_jobs:
        yield "a job is ready, a place is free, and it waits"
    if starts and counts[JobStatus.READY] and choosing.room(node) > 0:
        yield "a job is ready, there is room, and it waits"
    for job in node.folds:
        for_each = job.job.for_each
        is_due = isinstance(job.state, Blocked) and not job.waits and not node.is_over
        if is_due and for_each is not None and for_each.data not in node.being_made:
            yield f'"{job.job.name}" has its value, and nobody makes jobs for its elements'
    chosen: set[JobKey] = set()
    for queue in (node.ready, *node.asking):
        yield from _heap(queue)
        chosen |= {entry[2].job.key for entry in queue.heap}
    for key, job in node.jobs.items():
        if isinstance(job.state, Ready) and key not in chosen:
            yield f'"{job.job.name}" is ready, and nobody will choose it'


def _heap(queue: Queue) -> Iterator[str]:
    heap = queue.heap
    for at, (rank, position, job) in enumerate(heap):
        if job.queue is not queue:
            yield f'"{job.job.name}" stands in a queue that is not its own'
        if (rank, position) != (job.rank, job.position) or rank[0] != -job.job.priority:
            yield f'"{job.job.name}" is ranked wrongly'
        if at and heap[(at - 1) // 2][:2] > (rank, position):
            yield "the heap of ready jobs is not in order"


def _shares(
    scheduler: Scheduler, active: dict[AttemptKey, tuple[WorkflowNode, JobNode]]
) -> Iterator[str]:
    """Everything that jobs have is in the books, once."""
    ledger = scheduler._memory.ledger
    asking = {key: job for key, (_, job) in active.items() if job.queue.share is not None}
    if ledger.held.keys() != asking.keys():
        yield f"the books have attempts {set(ledger.held)}, and there are {set(asking)}"
        return
    for key, job in asking.items():
        if ledger.held[key].share != job.queue.share:
            yield f"attempt {key}: its share is not what its job asks for"
    holdings = ledger.held.values()
    if ledger.cpus != ledger.capacity.cpus - sum(one.share.cpus for one in holdings):
        yield f"{ledger.cpus} CPUs are not what is left over"
    taken = sum(one.share.memory_bytes for one in holdings)
    if ledger.memory_bytes != ledger.capacity.memory_bytes - taken:
        yield f"{ledger.memory_bytes} bytes are not what is left over"
    gpus = [gpu for one in holdings for gpu in one.gpus]
    if len(gpus) != len(set(gpus)):
        yield f"a GPU has been given twice: {gpus}"
    if ledger.free_gpus != [gpu for gpu in range(ledger.capacity.gpus) if gpu not in gpus]:
        yield f"GPUs {ledger.free_gpus} are not what is left over"


def _line(scheduler: Scheduler) -> Iterator[str]:
    """Who is held up stands in line, and nobody waits for what is there."""
    memory = scheduler._memory
    line = memory.line
    if memory.is_loading:
        return
    if line.is_due:
        yield "a workflow was not looked at"
    if line.claimant is not None and line.claimant.key not in line.nodes:
        yield "who has a claim is not in line"
    for key, node in scheduler.workflows.items():
        if not node.asking or not node.starts_jobs or scheduler.is_draining:
            if key in line.nodes:
                yield f"workflow {key}: is in line, and starts nothing"
            continue
        is_own = line.claimant is node
        claim = None if line.claimant is None else line.claim
        chosen, held_up = choosing.choose(node, memory.ledger, claim, is_own_claim=is_own)
        if chosen is not None:
            yield f"workflow {key}: a job is ready, there is room, and it waits"
        if (held_up is not None) != (line.nodes.get(key) is node):
            yield f"workflow {key}: held up is {held_up is not None}, and it is in line or is not"
        if is_own and (held_up is None or held_up.share != line.claim):
            yield f"workflow {key}: its claim is not for what it waits for"


def _limits(
    scheduler: Scheduler, active: dict[AttemptKey, tuple[WorkflowNode, JobNode]]
) -> Iterator[str]:
    """Whatever runs and has a limit will be stopped in time."""
    memory = scheduler._memory
    bound = []
    for key, (node, job) in active.items():
        is_frozen = node.frozen_since is not None
        if isinstance(job.state, Running) and job.state.stop is None and not is_frozen:
            at = limits.deadline(job, job.state.started_at)
            if at is not None:
                bound.append((at, key))
    if not set(bound) <= set(memory.deadlines):
        yield "a runtime limit is not watched"
    rests = [
        (job.recovery.until, key, job_key)
        for key, node in scheduler.workflows.items()
        for job_key, job in node.jobs.items()
        if job.recovery is not None and recovering.is_due(job, job.recovery.until)
    ]
    waiting = [entry for entry in rests if not scheduler.workflows[entry[1]].jobs[entry[2]].waits]
    if not set(waiting) <= set(memory.rests):
        yield "a job rests, and nobody wakes it"
    moments = [*(at for at, _ in bound), *(until for until, _, _ in set(rests) & set(memory.rests))]
    if memory.wake_at != min(moments, default=None):
        yield f"is to be woken at {memory.wake_at}, and the moments are {moments}"


def _job(job: JobNode) -> Iterator[str]:
    state = job.state
    is_fold = job.job.for_each is not None
    closed = sum(1 for gate in job.awaits if gate.missing) + job.held
    if job.held != job.is_to_be_held:
        yield f"is held: {job.held}, and is to be: {job.is_to_be_held}"
    if job.waits != closed:
        yield f"waits for {job.waits} gates, and {closed} are closed"
    if isinstance(state, Blocked) and not closed and job.recovery is None and not is_fold:
        yield "blocked by nothing"
    if is_fold and not isinstance(state, Blocked | Ended | Disabled):
        yield "stands for its elements, and is to run"
    if job.recovery is not None and isinstance(state, Ended | Disabled):
        yield f"{state.status.value}, and to recover"
    if job.has_script_to_run and isinstance(state, Blocked) and not closed:
        yield "its recovery script waits for nothing"
    if state.follows and not closed:
        yield "comes after another, and waits for nothing"
    if isinstance(state, Ready) and closed:
        yield "ready, and gates are closed"
    if job.attempt_id < 0 or (isinstance(state, Active) and not job.attempt_id):
        yield f"{state.status.value} with attempt {job.attempt_id}"
    if isinstance(state, Running) and state.stop and not state.stop.ends_the_started:
        yield "runs, and is stopped by what holds only for those that do not"
    if isinstance(state, Ended):
        if (state.status is JobStatus.COMPLETED) != (state.reason is None):
            yield f"{state.status.value} because of {state.reason}"
        if (state.reason is None) != (state.message is None):
            yield f"reason {state.reason} goes with message {state.message}"
    if (
        job.job.cancel_on_blocking_job_failure
        # A pending one may have run when that happened, before the last restart.
        and isinstance(state, Blocked | Ready)
        and any(gate.spoiled for gate in job.awaits)
    ):
        yield "not canceled, though what it waits for ended badly"


def _gates(node: WorkflowNode) -> Iterator[str]:
    gates: dict[int, GateNode] = {}
    producers: dict[int, list[JobNode]] = {}
    for job in node.jobs.values():
        for gate in job.awaits:
            gates[gate.subject] = gate
        for gate in job.feeds:
            gates[gate.subject] = gate
            producers.setdefault(gate.subject, []).append(job)
    for group in [gate for gate in gates.values() if gate.members]:
        missing = sum(1 for member in group.members if member.missing)
        if group.missing != missing:
            yield f"group {group.subject}: misses {group.missing}, and {missing} are closed"
        if group.spoiled != any(member.spoiled for member in group.members):
            yield f"group {group.subject}: spoiled is {group.spoiled}"
        del gates[group.subject]
        gates.update((member.subject, member) for member in group.members)
    for subject, gate in gates.items():
        makers = producers.get(subject, [])
        problem = _input(node, gate) if gate.is_input else _made(gate, makers)
        if problem is not None:
            yield f"gate {subject}: {problem}"
        if gate.is_input != (not makers):
            yield f"gate {subject}: is_input is {gate.is_input}, and {len(makers)} jobs make it"


def _input(node: WorkflowNode, gate: GateNode) -> str | None:
    if gate.missing not in (0, 1) or gate.spoiled or gate.made:
        return f"an input that misses {gate.missing}"
    if gate.kind == "user_data":
        has_value = any(d.sha256 is not None for d in node.data.values() if d.gate is gate)
        if has_value == bool(gate.missing):
            return f"an input that misses {gate.missing}, and has a value: {has_value}"
    return None


def _made(gate: GateNode, makers: list[JobNode]) -> str | None:
    missing = sum(
        1
        for job in makers
        if not isinstance(job.state, Ended | Disabled) and not gate.has_stored(job)
    )
    if gate.missing != missing:
        return f"misses {gate.missing}, and {missing} have not finished"
    statuses = {job.state.status for job in makers}
    if gate.spoiled != bool(statuses & ENDED_BADLY):
        return f"spoiled is {gate.spoiled}, and its producers are {statuses}"
    if gate.made != (JobStatus.COMPLETED in statuses):
        return f"made is {gate.made}, and its producers are {statuses}"
    if gate.opens_early and not gate.opens_early <= {job.job.key for job in makers}:
        return "one has stored that does not make it"
    return None
