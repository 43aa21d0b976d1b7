"""From a workflow, as submitted or as last saved, to the nodes the scheduler works on.

There is one way in for both: a workflow that was just submitted is one of which nothing has been
saved yet. Whether a job is ready is not read but worked out again from what has ended and what is
there, so it cannot disagree with that.
"""

from collections import defaultdict

import msgspec

from torcd import graph
from torcd.model import (
    ENDED_BADLY,
    Capacity,
    DataKey,
    FileKey,
    Job,
    JobKey,
    JobsSortMethod,
    JobStatus,
    Timestamp,
)
from torcd.scheduler import following
from torcd.scheduler.actions import Actions, ActionState
from torcd.scheduler.events import LoadedCommand, LoadedJob, LoadedValue, WorkflowLoaded
from torcd.scheduler.job_states import (
    BLOCKED,
    DISABLED,
    READY,
    Ended,
    Pending,
    Running,
    State,
    Stop,
    ended_as,
)
from torcd.scheduler.nodes import DeclaredGate, GateNode, JobGate, JobNode, Queue, Rank
from torcd.scheduler.sharing import Share, share_of
from torcd.scheduler.state import DataNode, WorkflowNode


def build(loaded: WorkflowLoaded, capacity: Capacity) -> WorkflowNode:
    """Needs nothing but what it is given, and changes nothing."""
    node = WorkflowNode(loaded.workflow, loaded.max_parallel_jobs, loaded.wait_for_inputs)
    node.status = loaded.status
    node.stopping = loaded.stopping
    node.archived = loaded.archived
    node.run_id = loaded.run_id
    node.started_at = loaded.started_at
    node.ended_at = loaded.ended_at
    node.frozen_since = loaded.frozen_since

    node.file_states = dict(loaded.file_states)
    for data in loaded.workflow.user_data:
        data_node = node.data[data.key] = DataNode(data)
        value = loaded.values.get(data.key)
        if value is not None:
            data_node.revision = value.revision
            data_node.sha256 = value.sha256
            data_node.initial_sha256 = value.initial_sha256
            data_node.changed_at = value.changed_at
        data_node.is_stored_in_run = data.key in loaded.stored_in_run
        data_node.storers = tuple(loaded.stored_in_run.get(data.key, ()))
    queues: dict[Share | None, Queue] = {None: node.ready}
    ranks: dict[Rank, Rank] = {}
    sort_method = loaded.workflow.jobs_sort_method
    jobs = loaded.workflow.jobs
    # As a rule keys are in the order of the jobs: other numbers would weigh as much as names.
    keys = [job.key for job in jobs]
    positions = keys if keys == sorted(keys) else range(len(keys))
    for position, job, saved in zip(positions, jobs, loaded.jobs, strict=True):
        share = None if job.resources is None else share_of(job.resources, capacity)
        queue = queues.get(share)
        if queue is None:
            queue = queues[share] = Queue(share)
            node.asking.append(queue)
        rank = _rank(job, sort_method)
        # Equal ranks are one tuple: the heaps compare them at a glance then.
        rank = ranks.setdefault(rank, rank)
        job_node = node.jobs[job.key] = JobNode(job, position, queue, rank)
        if job.for_each is not None:
            node.folds.append(job_node)
        if saved is AS_SUBMITTED:
            job_node.run_id = loaded.run_id
            continue  # the rest is as it is made
        job_node.attempt_id = saved.attempt_id
        job_node.run_id = loaded.run_id if saved.run_id is None else saved.run_id
        job_node.trace = saved.trace
        job_node.may_skip = saved.may_skip
        job_node.recovery = saved.recovery
        if job_node.run_id == node.run_id:
            waits_for_retry = saved.recovery is not None and not saved.is_retry_under_way
            node.retries += max(saved.attempt_id - 1, 0) + waits_for_retry
        job_node.frozen_microseconds = saved.frozen_microseconds
        job_node.state = _state(saved)

    absent = loaded.absent_files if loaded.wait_for_inputs else frozenset[FileKey]()
    made = node.gates
    awaits: defaultdict[JobKey, list[GateNode]] = defaultdict(list)
    feeds: defaultdict[JobKey, list[GateNode]] = defaultdict(list)
    # What stays is made in one go, and what is only needed for that before or after it: in between
    # it would leave memory in pieces that are of no use.
    gates: list[tuple[graph.Gate, GateNode]] = []
    for gate in graph.gates(loaded.workflow):
        if gate.kind == "added":
            _add_added(node, gate)
        elif gate.kind == "group":
            members = tuple([made[member] for member in gate.members])
            gates.append((gate, _add_group(node, gate, members)))
        else:
            made[gate.subject] = gate_node = _add_gate(node, gate, absent, loaded.stored_in_run)
            gates.append((gate, gate_node))
    for gate, gate_node in gates:
        for job_key in gate.producers:
            feeds[job_key].append(gate_node)
        for job_key in gate.consumers:
            awaits[job_key].append(gate_node)
    del gates
    for key, several in awaits.items():
        node.jobs[key].awaits = tuple(several)
    for key, several in feeds.items():
        node.jobs[key].feeds = tuple(several)
    del awaits, feeds

    is_over = node.is_over
    for job_node in node.jobs.values():
        if job_node.awaits:
            job_node.waits = len([1 for gate in job_node.awaits if gate.missing])
        if job_node.rare.adder is not None and job_node.is_to_be_held:
            job_node.held = True
            job_node.waits += 1
        state = job_node.state
        if state is BLOCKED:
            is_free = not (job_node.waits or job_node.rests(loaded.at) or job_node.job.for_each)
            if is_free and not is_over:
                state = job_node.state = READY
                job_node.queue.heap.append((job_node.rank, job_node.position, job_node))
        elif job_node.waits and isinstance(state, Pending):
            follows = following.is_under_way(job_node, state.attempt_key)
            job_node.state = msgspec.structs.replace(state, follows=follows)
            node.following += follows
        node.counts[state.status] += 1
    for queue in queues.values():
        queue.heap.sort()  # no two have the same position, so nodes are never compared
    if loaded.workflow.actions:
        node.actions = _actions(node, loaded.action_commands)
    return node


def _actions(node: WorkflowNode, begun: tuple[LoadedCommand, ...]) -> Actions:
    actions = Actions(node.workflow)
    for command in begun:
        if command.action > len(actions.nodes):
            continue  # an edit has taken the action out, when the run was over
        action = actions.nodes[command.action - 1]
        action.command = command.command
        action.state = _action_state(command)
        action.frozen_microseconds = command.frozen_microseconds
    actions.watch(node.jobs.values())
    return actions


def _action_state(saved: LoadedCommand) -> ActionState:
    if saved.ended_at is None:
        stop = None if saved.reason is None else Stop(saved.reason, saved.message or "")
        return Pending(saved.attempt_key, stop)
    return ended_as(
        saved.status,
        saved.reason,
        saved.message,
        saved.return_code,
        saved.started_at,
        saved.ended_at,
    )


def _rank(job: Job, sort_method: JobsSortMethod) -> Rank:
    """A job that does not say how long it runs or how much memory it needs asks for none."""
    if sort_method == "none":
        return (-job.priority,)
    resources = job.resources
    if resources is None:
        return (-job.priority, 0, 0, 0)
    runtime = -(resources.runtime_seconds or 0.0)
    memory = -(resources.memory_bytes or 0)
    if sort_method == "gpus_runtime_memory":
        return (-job.priority, -resources.num_gpus, runtime, memory)
    return (-job.priority, -resources.num_gpus, memory, runtime)


def _state(saved: LoadedJob) -> State:
    if saved.attempt_key is not None:
        # Whether it has started is for the executor to say, again.
        stop = None
        if saved.stopping and saved.reason is not None:
            stop = Stop(saved.reason, saved.message or "")
        return Pending(saved.attempt_key, stop)
    match saved.status:
        case JobStatus.BLOCKED | JobStatus.READY | JobStatus.PENDING | JobStatus.RUNNING:
            return BLOCKED
        case JobStatus.DISABLED:
            return DISABLED
        case JobStatus.COMPLETED | JobStatus.FAILED | JobStatus.CANCELED | JobStatus.TERMINATED:
            ended = ended_as(
                saved.status,
                saved.reason,
                saved.message,
                saved.return_code,
                saved.started_at,
                saved.ended_at,
            )
            trace = saved.trace
            # One of two that are equal.
            return trace.ended if trace is not None and trace.ended == ended else ended


def _add_gate(
    node: WorkflowNode,
    gate: graph.Gate,
    absent: frozenset[FileKey],
    stored_in_run: dict[DataKey, frozenset[JobKey]],
) -> GateNode:
    gate_node: GateNode
    if gate.kind == "job":
        gate_node = JobGate(node.jobs[JobKey(gate.subject)])
    else:
        gate_node = _declared_gate(node, gate)
    for producer in gate_node.producers:
        if producer.trace is not None:
            gate_node.made_at = max(gate_node.made_at, producer.trace.made_at)
        status = producer.state.status
        gate_node.spoiled |= status in ENDED_BADLY
        gate_node.made |= status is JobStatus.COMPLETED
        if not isinstance(producer.state, Ended) and producer.state is not DISABLED:
            gate_node.missing += 1
    if gate.kind == "user_data":
        data = node.data[DataKey(gate.subject)]
        data.gate = gate_node
        if gate_node.opens_early is not None:
            # Who stored it may have been removed since, or make it no more.
            for key in stored_in_run.get(data.data.key, frozenset()).intersection(gate.producers):
                producer = node.jobs[key]
                gate_node.opens_early.add(key)
                if not isinstance(producer.state, Ended) and producer.state is not DISABLED:
                    gate_node.missing -= 1
        elif not gate.producers and data.sha256 is None:
            gate_node.missing = 1
    elif gate.kind == "file" and not gate.producers:
        node.file_gates[FileKey(gate.subject)] = gate_node
        gate_node.missing = int(gate.subject in absent)
    gate_node.consumers = tuple([node.jobs[key] for key in gate.consumers])
    return gate_node


def _declared_gate(node: WorkflowNode, gate: graph.Gate) -> DeclaredGate:
    opens_early = False
    if gate.kind == "user_data":
        data = node.data[DataKey(gate.subject)].data
        opens_early = data.available == "on_store" and bool(gate.producers)
    gate_node = DeclaredGate(
        gate.subject, gate.kind, is_input=not gate.producers, opens_early=opens_early
    )
    gate_node.producers = tuple([node.jobs[key] for key in gate.producers])
    return gate_node


def _add_group(node: WorkflowNode, gate: graph.Gate, members: tuple[GateNode, ...]) -> GateNode:
    group = DeclaredGate(gate.subject, gate.kind, is_input=False, opens_early=False)
    group.members = members
    group.missing = sum(1 for member in members if member.missing)
    group.spoiled = any(member.spoiled for member in members)
    for member in members:
        if member.groups:
            member.groups.append(group)
        else:
            member.groups = [group]
    group.consumers = tuple(node.jobs[key] for key in gate.consumers)
    return group


def _add_added(node: WorkflowNode, gate: graph.Gate) -> None:
    [adder] = [node.jobs[key] for key in gate.producers]
    adder.added = tuple(node.jobs[key] for key in gate.consumers)
    for job in adder.added:
        job.adder = adder


def as_loaded(node: WorkflowNode, at: Timestamp) -> WorkflowLoaded:
    """What would be loaded of a workflow, but for its actions: for building it anew, changed. What
    runs is pending in it, as it is when it is loaded."""
    return WorkflowLoaded(
        workflow=node.workflow,
        status=node.status,
        stopping=node.stopping,
        run_id=node.run_id,
        max_parallel_jobs=node.max_parallel_jobs,
        wait_for_inputs=node.wait_for_inputs,
        started_at=node.started_at,
        ended_at=node.ended_at,
        jobs=tuple(map(_as_loaded, node.jobs.values())),
        values={
            key: LoadedValue(
                revision=data.revision,
                sha256=data.sha256,
                initial_sha256=data.initial_sha256,
                changed_at=data.changed_at,
            )
            for key, data in node.data.items()
            if data.revision
        },
        file_states=node.file_states,
        stored_in_run={
            key: frozenset(data.storers) for key, data in node.data.items() if data.is_stored_in_run
        },
        absent_files=frozenset(),
        archived=node.archived,
        frozen_since=node.frozen_since,
        at=at,
    )


def _as_loaded(job: JobNode) -> LoadedJob:
    state = job.state
    ended = ended_as(state.status, None, None, None, None, None)
    attempt_key, stop = None, None
    if isinstance(state, Ended):
        ended = state
    elif isinstance(state, Pending | Running):
        attempt_key, stop = state.attempt_key, state.stop
    return LoadedJob(
        status=state.status,
        stopping=stop is not None,
        reason=ended.reason if stop is None else stop.reason,
        message=ended.message if stop is None else stop.message,
        return_code=ended.return_code,
        attempt_id=job.attempt_id,
        attempt_key=attempt_key,
        started_at=ended.started_at,
        ended_at=ended.ended_at,
        frozen_microseconds=job.frozen_microseconds,
        run_id=job.run_id,
        trace=job.trace,
        recovery=job.recovery,
        is_retry_under_way=attempt_key is not None and not job.has_script_to_run,
        may_skip=job.may_skip,
    )


AS_SUBMITTED = LoadedJob(
    status=JobStatus.BLOCKED,
    stopping=False,
    reason=None,
    message=None,
    return_code=None,
    attempt_id=0,
    attempt_key=None,
    started_at=None,
    ended_at=None,
)
"""The state of a job of which nothing has been saved yet."""
