"""What jobs ask the machine for, in words."""

from collections.abc import Callable

from torcd.amount import memory_text
from torcd.model import Capacity, Job, Workflow
from torcd.scheduler import Scheduler, choosing
from torcd.scheduler.nodes import JobNode
from torcd.scheduler.sharing import Share
from torcd.scheduler.state import WorkflowNode

MAX_NAMED = 3
"""Jobs named in a warning; the rest is counted."""


def warnings(workflow: Workflow, capacity: Capacity) -> list[str]:
    """Of jobs that ask for more than there is, which get all there is: one for each amount."""
    too_much: dict[str, list[Job]] = {}
    for job in workflow.jobs:
        asks = job.resources
        if asks is None:
            continue
        if asks.num_cpus > capacity.cpus:
            amount = f"for {_count(asks.num_cpus, 'CPU')}, and there are {capacity.cpus}"
            too_much.setdefault(amount, []).append(job)
        if (asks.memory_bytes or 0) > capacity.memory_bytes:
            there = memory_text(capacity.memory_bytes)
            amount = f"for {memory_text(asks.memory_bytes or 0)} of memory, and there are {there}"
            too_much.setdefault(amount, []).append(job)
        if asks.num_gpus > capacity.gpus:
            amount = f"for {_count(asks.num_gpus, 'GPU')}, and there are {capacity.gpus}"
            too_much.setdefault(amount, []).append(job)
    return [
        f"{_names(jobs)} {'asks' if len(jobs) == 1 else 'ask'} {amount}: "
        f"{'it gets' if len(jobs) == 1 else 'each gets'} all there is, when nobody else has any"
        for amount, jobs in too_much.items()
    ]


def why_it_waits(
    scheduler: Scheduler, node: WorkflowNode, job: JobNode, is_own: Callable[[WorkflowNode], bool]
) -> str | None:
    """Of a ready job: what it waits for, if that is its share of the machine. `is_own`: whether a
    workflow may be named to whoever asks."""
    share = job.queue.share
    if share is None or choosing.taken(node) >= node.max_parallel_jobs:
        return None
    left = scheduler.left_over
    if not scheduler.has_room_for(share):
        return f"it waits for {_share(share)}; {_share(left, like=share)} left over by what runs"
    claimant = scheduler.claimant
    if claimant is not None:
        whose = f"workflow {claimant.key}" if is_own(claimant) else "another user"
        return (
            f"it waits for {_share(share)}, and is behind a large job of {whose} that has waited "
            "for long"
        )
    return None


def _share(share: Share, like: Share | None = None) -> str:
    """`like`: only of what that one has some; and with a verb."""
    asked = like or share
    parts = [_count(max(share.cpus, 0), "CPU")]
    if asked.memory_bytes:
        parts.append(f"{memory_text(max(share.memory_bytes, 0))} of memory")
    if asked.gpus:
        parts.append(_count(share.gpus, "GPU"))
    text = ", ".join(parts[:-1]) + (" and " if parts[1:] else "") + parts[-1]
    if like is None:
        return text
    return f"{text} {'is' if len(parts) == 1 and share.cpus == 1 else 'are'}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _names(jobs: list[Job]) -> str:
    named = ", ".join(f'"{job.name}"' for job in jobs[:MAX_NAMED])
    more = len(jobs) - MAX_NAMED
    return named + (f" and {more} more" if more > 0 else "")
