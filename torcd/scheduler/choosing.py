"""Which job is next, and how many at once.

The policy: higher priority first, then the order of the spec; in one workflow at most
`max_parallel_jobs` at a time. The limit itself is kept by the executor, which counts what really
runs. Jobs beyond it may be handed over ahead, so that the executor can start the next one the
moment a place comes free instead of waiting for a decision and a commit. How far ahead follows
from how long jobs take: as many as would start within LOOKAHEAD_MICROSECONDS. Jobs of a second or
an hour are not handed over ahead, so that what is `pending` is really about to start.
"""

from heapq import heappop

from torcd.scheduler.state import JobNode, Ready, WorkflowNode

LOOKAHEAD_MICROSECONDS = 25_000
"""A few commits' time: what a decision, its commit and the way to the executor and back take."""

MAX_LOOKAHEAD = 128
"""More would only make a pause, a cancel or a higher priority take effect later."""

SMOOTHING = 0.1
"""Weight of the newest attempt in the mean duration."""


def room(node: WorkflowNode) -> int:
    """How many more jobs may be handed over now."""
    return node.max_parallel_jobs + _lookahead(node) - node.in_flight


def take_next(node: WorkflowNode) -> JobNode | None:
    """The next ready job, taken off the heap; None when there is none."""
    while node.ready:
        job = heappop(node.ready)[2]
        if isinstance(job.state, Ready):
            return job
    return None


def learn_duration(node: WorkflowNode, microseconds: int) -> None:
    microseconds = max(microseconds, 0)  # the clock may have been put back meanwhile
    mean = node.mean_microseconds
    if mean is None:
        node.mean_microseconds = float(microseconds)
    else:
        node.mean_microseconds = mean + SMOOTHING * (microseconds - mean)


def _lookahead(node: WorkflowNode) -> int:
    if node.mean_microseconds is None:
        return 0
    ahead = node.max_parallel_jobs * LOOKAHEAD_MICROSECONDS / max(node.mean_microseconds, 1.0)
    return min(MAX_LOOKAHEAD, int(ahead))
