"""Failure handlers: after a bad end another attempt is made, if a rule says so.

The first rule that matches the end applies. It allows so many retries, counted by the attempts that
there were in this run, whoever asked for them; and the workflow may have a bound for all its jobs
together. Then the job has not ended: nothing of it spreads, and who waits for it goes on waiting.

If the rule has a recovery script, that is run first, as an attempt of its own kind in the place of
the job (its share, its limits): it is ordered, reported, stopped and frozen like any other. If it
ends badly, the job does, with the reason `script`. Then the job rests until the backoff is over,
counted from its bad end, and is ready after that.

When it will have rested is written down with the job, so the next daemon wakes it at that time, or
at once if that has passed. Backoffs are doubled from retry to retry, up to a cap. Jitter is taken
from the key of the attempt: there are no dice here, and to spread jobs that failed together it will
do.
"""

from collections.abc import Iterator
from hashlib import blake2b
from heapq import heappop, heappush

from torcd.model import (
    AttemptKey,
    FailureRule,
    JobKey,
    JobStatus,
    Reason,
    Timestamp,
    WorkflowKey,
)
from torcd.scheduler import wording
from torcd.scheduler.commands import Command
from torcd.scheduler.events import AttemptExited, AttemptLost, AttemptNotStarted
from torcd.scheduler.job_states import Blocked, Ended, Recovery, Stop, ended_as
from torcd.scheduler.memory import Memory
from torcd.scheduler.nodes import JobNode, is_spoiled
from torcd.scheduler.state import WorkflowNode
from torcd.scheduler.turn import Turn

MAX_BACKOFF_SECONDS = 3_600.0
"""Doubling goes far otherwise; whoever wants to wait for longer says so."""

_MAX_DOUBLINGS = 64
"""2 to the power of more is beyond all caps."""

_MAX_IDLE = 64
"""Rests kept of jobs that rest no more."""

_WITH_RETURN_CODE = (Reason.EXIT, Reason.SIGNAL)


def recovery(node: WorkflowNode, job: JobNode, key: AttemptKey, ended: Ended) -> Recovery | None:
    """What is to be done after the bad end of an attempt; None: nothing, it ends so."""
    if ended.reason is None or ended.status not in (JobStatus.FAILED, JobStatus.TERMINATED):
        return None
    if job.job.cancel_on_blocking_job_failure and any(map(is_spoiled, job.awaits)):
        return None  # it could not begin again
    rule = next((rule for rule in _rules(node, job) if _matches(rule, ended)), None)
    if rule is None or job.attempt_id > rule.max_retries or ended.ended_at is None:
        return None
    most = node.workflow.max_retries
    if most is not None and node.retries >= most:
        return None
    rest = round(_backoff_seconds(rule, job.attempt_id, key) * 1_000_000)
    return Recovery(
        until=Timestamp(ended.ended_at + rest),
        script=rule.recovery_script,
        reason=ended.reason,
        message=ended.message or "",
        return_code=ended.return_code,
    )


def script_ended(
    turn: Turn,
    job: JobNode,
    event: AttemptExited | AttemptLost | AttemptNotStarted,
    stop: Stop | None,
) -> None:
    """The recovery script of a job has: well or not."""
    failed = job.recovery
    assert failed is not None
    if stop is not None and stop.reason is not Reason.TIMEOUT:
        verdict = stop.status, stop.reason, stop.message
    else:
        how = _how_badly(event, stop)
        if how is None:
            turn.script_ended_well(job, event)
            return
        message = f"its recovery script {how}; before, the job {failed.message}"
        verdict = JobStatus.FAILED, Reason.SCRIPT, message
    turn.finish_script(job, event, ended_as(*verdict, failed.return_code, None, event.at))


def wake(memory: Memory, at: Timestamp) -> list[Command]:
    """Those that have rested."""
    commands: list[Command] = []
    while memory.rests and memory.rests[0][0] <= at:
        until, workflow_key, job_key = heappop(memory.rests)
        node = memory.workflows.get(workflow_key)
        job = None if node is None else node.jobs.get(job_key)
        if node is None or job is None or not is_due(job, until):
            continue
        turn = Turn(memory, node, at)
        turn.has_rested(job)
        commands += turn.end()
    return commands


def repeat(memory: Memory, node: WorkflowNode) -> None:
    """After a restart: wake those that rest in time."""
    for key, job in node.jobs.items():
        if job.recovery is not None and isinstance(job.state, Blocked):
            heappush(memory.rests, (job.recovery.until, node.key, key))


def next_end_of_rest(memory: Memory) -> Timestamp | None:
    """When the next job will have rested."""
    rests = memory.rests
    if len(rests) > 2 * sum(1 for _ in _resting(memory)) + _MAX_IDLE:
        rests[:] = sorted(_resting(memory))
    while rests and not _holds(memory, rests[0]):
        heappop(rests)
    return rests[0][0] if rests else None


def is_due(job: JobNode, until: Timestamp) -> bool:
    """Whether it rests until then."""
    return (
        isinstance(job.state, Blocked)
        and not job.has_script_to_run
        and job.recovery is not None
        and job.recovery.until == until
    )


def _resting(memory: Memory) -> Iterator[tuple[Timestamp, WorkflowKey, JobKey]]:
    for entry in memory.rests:
        if _holds(memory, entry):
            yield entry


def _holds(memory: Memory, entry: tuple[Timestamp, WorkflowKey, JobKey]) -> bool:
    until, workflow_key, job_key = entry
    node = memory.workflows.get(workflow_key)
    job = None if node is None else node.jobs.get(job_key)
    return job is not None and is_due(job, until)


def _rules(node: WorkflowNode, job: JobNode) -> tuple[FailureRule, ...]:
    name = job.job.failure_handler
    if name is None:
        return ()
    return next((h.rules for h in node.workflow.failure_handlers if h.name == name), ())


def _matches(rule: FailureRule, ended: Ended) -> bool:
    if ended.reason in rule.on:
        return True
    if ended.reason not in _WITH_RETURN_CODE or ended.return_code is None:
        return False
    return rule.match_all_exit_codes or ended.return_code in rule.exit_codes


def _backoff_seconds(rule: FailureRule, attempts: int, key: AttemptKey) -> float:
    most = rule.max_backoff_seconds
    if most is None:
        most = max(MAX_BACKOFF_SECONDS, rule.backoff_seconds)
    seconds = min(rule.backoff_seconds * 2.0 ** min(attempts - 1, _MAX_DOUBLINGS), most)
    if rule.jitter:
        digest = blake2b(str(key).encode(), digest_size=8).digest()
        part = int.from_bytes(digest, "big") / (1 << 64)
        seconds *= 1 + rule.jitter * (2 * part - 1)
    return seconds


def _how_badly(
    event: AttemptExited | AttemptLost | AttemptNotStarted, stop: Stop | None
) -> str | None:
    """How a script ended, for people; None: well."""
    if stop is not None:
        return f"was {stop.message}"
    match event:
        case AttemptExited():
            _, _, message = wording.verdict(
                event.return_code, ran_out_of_memory=event.ran_out_of_memory
            )
            return message
        case AttemptLost():
            return f"is lost: {event.problem}"
        case AttemptNotStarted():
            return f"could not be started: {event.problem}"
