"""Why a job is where it is, and what would move it."""

from collections.abc import Callable

from torcd import waiting
from torcd.model import ENDED_BADLY, DataKey, FileKey, ForEach, JobStatus, WorkflowStatus
from torcd.protocol import manager as m
from torcd.protocol.times import rfc3339
from torcd.scheduler import Scheduler, choosing
from torcd.scheduler.job_states import Blocked, Disabled, Ended, Pending, Ready, Running
from torcd.scheduler.nodes import GateNode, JobNode
from torcd.scheduler.state import WorkflowNode
from torcd.server import asking
from torcd.server.calls import Call
from torcd.server.context import Context, find_jobs, job_of
from torcd.server.handlers.jobs import Describer

MAX_NAMED = 5
"""Jobs named for one thing that is waited for; the rest is counted."""


async def explain(context: Context, parameters: m.Explain, call: Call) -> m.Explanation:
    key = await context.workflow_key(parameters.workflow_key, call.peer)
    async with context.controller.workflow(key) as node:
        await context.controller.settled()
        named = job_of(node, parameters.job)
        if named is None:
            named = find_jobs(node, [parameters.job])[0]
        job = node.jobs[named]

        def is_own(other: WorkflowNode) -> bool:
            return context.is_own(call.peer, other.workflow.owner)

        summary, remedy = _explain(context.controller.scheduler, node, job, is_own)
        held_up = context.controller.held_up
        if held_up is not None and isinstance(job.state, Ready | Pending):
            summary, remedy = f"nothing can be started now: {held_up}", "make room on that disk"
        missing = [gate for gate in _gates(job) if gate.missing]
        makers = _unfinished_makers(node, missing)
        return m.Explanation(
            job=Describer(node).job(job),
            summary=summary,
            waits_for=[
                *_adders(job),
                *(_describe(node, gate, makers[id(gate)]) for gate in missing),
            ],
            remedy=remedy,
        )


def _gates(job: JobNode) -> list[GateNode]:
    """What it waits for, one by one."""
    return [gate for awaited in job.awaits for gate in awaited.members or (awaited,)]


def _adders(job: JobNode) -> list[str]:
    if not job.held or job.adder is None:
        return []
    adder = job.adder
    return [f'job "{adder.job.name}" ({adder.state.status.value}), to add it again']


_IsOwn = Callable[[WorkflowNode], bool]


def _explain(
    scheduler: Scheduler, node: WorkflowNode, job: JobNode, is_own: _IsOwn
) -> tuple[str, str | None]:
    state = job.state
    match state:
        case Pending() | Running() if job.has_script_to_run and state.stop is None:
            return f"its recovery script is run, because {_failure(job)}", None
        case Blocked() if job.recovery is not None and not job.waits:
            at = rfc3339(job.recovery.until)
            return f"it is tried again at {at}, because {_failure(job)}", None
        case Blocked() if job.job.for_each is not None:
            return _explain_gate(node, job, job.job.for_each)
        case Blocked():
            gates = _gates(job)
            closed = sum(1 for gate in gates if gate.missing) + job.held
            summary = f"it waits for {closed} of {len(gates) + job.held} things"
            if job.may_skip:
                summary += ", and need not run if what it reads turns out to be as it was"
            return summary, _unblock(node, job)
        case Ready():
            return _explain_ready(scheduler, node, job, is_own)
        case Pending() | Running() if state.stop is not None:
            return f"it is on its way out: {state.stop.message}", None
        case Pending(follows=True):
            return "it was chosen, and starts when what it waits for has ended well", None
        case Pending():
            return "it was chosen and is about to start", None
        case Running() if node.frozen_since is not None:
            return "it is frozen: its workflow is paused, with --stop", "torcctl resume"
        case Running():
            return "it is running", None
        case Disabled():
            return "somebody disabled it", f"torcctl enable {job.job.name}"
        case Ended(status=JobStatus.COMPLETED) if job.job.for_each is not None:
            return _explain_gate(node, job, job.job.for_each)
        case Ended(status=JobStatus.COMPLETED) if job.run_id != node.run_id:
            return (
                f"it completed in run {job.run_id}, and in run {node.run_id} it is up to date",
                None,
            )
        case Ended(status=JobStatus.COMPLETED):
            return "it completed", None
        case Ended():
            remedy = f"torcctl logs {job.job.name}" if state.started_at is not None else None
            return _ended(state), remedy


def _explain_gate(node: WorkflowNode, job: JobNode, for_each: ForEach) -> tuple[str, str | None]:
    """Of one that says `for_each`."""
    value = f'"{node.data[for_each.data].data.name}"'
    if isinstance(job.state, Ended) and for_each.count:
        jobs = "1 job" if for_each.count == 1 else f"{for_each.count} jobs"
        return f"it is {jobs}, one for each element of {value}", None
    if isinstance(job.state, Ended):
        return f"it completed: there is one job for each element of {value}, which has none", None
    if job.waits:
        gates = [gate for gate in _gates(job) if gate.missing and gate.subject == for_each.data]
        still = "has no value yet" if gates else "is there, but not all that they need"
        if for_each.sha256 is not None and gates:
            still = "may become another one"
        summary = f"it becomes one job for each element of {value}, which {still}"
        return summary, _unblock(node, job)
    if for_each.data in node.held_back:
        return (
            f"its jobs, one for each element of {value}, are made anew when what runs of them, or "
            "after them, has ended",
            None,
        )
    return f"its jobs, one for each element of {value}, are being made", None


def _failure(job: JobNode) -> str:
    message = "" if job.recovery is None else job.recovery.message
    return f"its attempt {job.attempt_id} ended badly: {message}"


def _ended(state: Ended) -> str:
    word = state.status.value
    message = state.message or word
    # A message about a cancel says so itself.
    return f"it was {message}" if message.startswith(word) else f"it {word}: {message}"


def _explain_ready(
    scheduler: Scheduler, node: WorkflowNode, job: JobNode, is_own: _IsOwn
) -> tuple[str, str | None]:
    if node.status is WorkflowStatus.PAUSED:
        return "everything it needs is there, but its workflow is paused", "torcctl resume"
    share = asking.why_it_waits(scheduler, node, job, is_own)
    if share is not None:
        return f"its inputs are there; {share}", "asking for less, or waiting"
    if node.actions is not None and node.actions.hold_jobs:
        return (
            "everything it needs is there; it waits for the on_workflow_start commands to end",
            "torcctl actions",
        )
    return (
        "everything it needs is there; it waits for its turn: "
        f"{choosing.taken(node)} jobs are running or about to, and "
        f"{node.max_parallel_jobs} may at once",
        "a higher priority, or more jobs at once (-j)",
    )


def _unblock(node: WorkflowNode, job: JobNode) -> str | None:
    for gate in _gates(job):
        if gate.missing and gate.is_input:
            if gate.kind == "file":
                return "make the missing file"
            return "store the missing value with: torcctl data put"
    if node.status is WorkflowStatus.PAUSED:
        return "its workflow is paused: torcctl resume"
    return None


def _unfinished_makers(node: WorkflowNode, gates: list[GateNode]) -> dict[int, list[JobNode]]:
    """Of each gate, by its identity: the jobs that it still waits for, in the order of the spec."""
    makers: dict[int, list[JobNode]] = {id(gate): [] for gate in gates}
    for job in node.jobs.values():
        status = job.state.status
        if status is not JobStatus.COMPLETED and status not in ENDED_BADLY:
            for gate in job.feeds:
                if id(gate) in makers:
                    makers[id(gate)].append(job)
    return makers


def _describe(node: WorkflowNode, gate: GateNode, makers: list[JobNode]) -> str:
    """`file "f" (/path), made by: "a" (running)`."""
    named = waiting.listed(
        [f'"{other.job.name}" ({other.state.status.value})' for other in makers], MAX_NAMED
    )
    if gate.kind == "job":
        return f"job {named}"
    if gate.kind == "user_data":
        name = node.data[DataKey(gate.subject)].data.name
        what = waiting.thing("user_data", f'"{name}"')
    else:
        file = node.files[FileKey(gate.subject)]
        what = waiting.thing("file", f'"{file.name}"', file.path)
    return waiting.unmade(what) if gate.is_input else f"{what}, made by {named}"
