"""What is true between any two events. The simulation checks it after each."""

from torcd.model import ENDED_BADLY, JobKey, JobStatus, WorkflowStatus
from torcd.scheduler import choosing
from torcd.scheduler.machine import Scheduler
from torcd.scheduler.state import (
    Blocked,
    Disabled,
    Ended,
    GateNode,
    JobNode,
    Pending,
    Ready,
    Running,
    WorkflowNode,
)


def violations(scheduler: Scheduler) -> list[str]:
    """Everything that is wrong; nothing, if the scheduler is right."""
    found: list[str] = []
    active = set()
    for node in scheduler.workflows.values():
        found += _workflow(node)
        for job in node.jobs.values():
            found += _job(node, job)
            if isinstance(job.state, Pending | Running):
                active.add(job.state.attempt_key)
    if active != set(scheduler.active_attempts):
        found.append("the index of active attempts is not that of the jobs")
    return found


def _workflow(node: WorkflowNode) -> list[str]:
    found = []
    states = [job.state for job in node.jobs.values()]
    for status in JobStatus:
        if node.counts[status] != sum(1 for state in states if state.status is status):
            found.append(f"workflow {node.key}: {status.value} is miscounted")
    in_flight = sum(1 for state in states if isinstance(state, Pending | Running))
    if node.in_flight != in_flight:
        found.append(f"workflow {node.key}: in_flight is miscounted")
    if in_flight > node.max_parallel_jobs + choosing.MAX_LOOKAHEAD:
        found.append(f"workflow {node.key}: too many jobs were handed over")
    is_done = all(isinstance(state, Ended | Disabled) for state in states)
    if is_done != node.is_over:
        found.append(f"workflow {node.key}: is {node.status.value}, but its jobs say otherwise")
    if node.is_over and node.stopping:
        found.append(f"workflow {node.key}: is over and still stopping")
    if node.status is WorkflowStatus.COMPLETED and any(s.status in ENDED_BADLY for s in states):
        found.append(f"workflow {node.key}: completed with a job that is not")
    starts = node.status is WorkflowStatus.RUNNING and not node.stopping
    if starts and choosing.room(node) > 0 and any(isinstance(s, Ready) for s in states):
        found.append(f"workflow {node.key}: a job is ready, there is room, and it waits")
    in_heap = {entry[2].job.key for entry in node.ready}
    for key, job in node.jobs.items():
        if isinstance(job.state, Ready) and key not in in_heap:
            found.append(f"job {key}: ready, but not to be chosen")
    return found


def _job(node: WorkflowNode, job: JobNode) -> list[str]:
    name = job.job.name
    found = []
    for gate in job.awaits:
        if gate.missing != _missing(node, gate) and not gate.is_input:
            found.append(f'"{name}": gate {gate.subject} is miscounted')
    closed = sum(1 for gate in job.awaits if gate.missing)
    if job.waits != closed:
        found.append(f'"{name}": waits for {job.waits} gates, {closed} are closed')
    if isinstance(job.state, Blocked) and not closed:
        found.append(f'"{name}": blocked by nothing')
    if isinstance(job.state, Ready) and closed:
        found.append(f'"{name}": ready, but gates are closed')
    if (
        isinstance(job.state, Blocked | Ready)
        and job.job.cancel_on_blocking_job_failure
        and any(gate.spoiled for gate in job.awaits)
    ):
        found.append(f'"{name}": not canceled, though what it waits for ended badly')
    return found


def _missing(node: WorkflowNode, gate: GateNode) -> int:
    early: set[JobKey] = gate.opens_early or set()
    return sum(
        1
        for job in node.jobs.values()
        if any(fed is gate for fed in job.feeds)
        and not isinstance(job.state, Ended | Disabled)
        and job.job.key not in early
    )
