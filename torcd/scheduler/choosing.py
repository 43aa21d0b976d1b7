"""Which job is next, and how many at once.

**Order.** In a workflow: higher priority first, then what its `jobs_sort_method` says, then the
order of the spec. At most `max_parallel_jobs` of a workflow run at a time.

**Ahead.** The limit itself is kept by the executor, which counts what really runs. Jobs beyond it
may be handed over ahead, so that the executor can start the next one the moment a place comes free
instead of waiting for a decision and a commit. How far ahead follows from how long jobs take: as
many as would start within LOOKAHEAD_MICROSECONDS. Jobs of a second or an hour are not handed over
ahead, so that what is `pending` is really about to start.

**Shares.** A job that asks for CPUs, memory or GPUs is chosen only when its share is left over by
all jobs of all workflows that ask, and when it can start at once: what waits behind others in the
executor would hold its share and do nothing. Nor is anything handed over ahead that comes after it
in the order, so that places come free for it.

**Passing over.** The first in the order may ask for more than is left. Then a later one that fits
goes first: it would be a waste to leave CPUs idle that somebody can use. But if small jobs always
went first, a large one would never find room. So the first is *held up* with a limit to its
patience: after PATIENCE jobs have been chosen while it was held up, of its workflow or of others,
its workflow has a *claim*, and then only what leaves room for it is chosen. What leaves room asks
for nothing of which there would not be enough left for the claim as well: whoever waits for a GPU
leaves the CPUs to others. A place among the `max_parallel_jobs` of its own workflow is left, too.
So all that it waits for is what runs already, and it is next when that has ended.

One workflow has a claim at a time: of two, each might sit on what the other needs. The others keep
their place, and are looked at in a line (`scheduler/line.py`) at whose end stands who was served
last; so each has its turn after as many claims as there are workflows. Patience counts jobs and not
seconds because the scheduler need not be woken for it, and because it is proportionate: little jobs
use it up soon, and it costs little then to let the machine run empty.
"""

from heapq import heappop

from torcd.scheduler.job_states import Ready
from torcd.scheduler.nodes import JobNode, Queue
from torcd.scheduler.sharing import Ledger, Share
from torcd.scheduler.state import WorkflowNode

LOOKAHEAD_MICROSECONDS = 240_000
"""What it takes until the next orders come: reports gather for up to 105 ms, a commit may be under
way, and the next one takes as long. On a slow disk it is 5 to 15 ms, on a busy one more."""

MAX_LOOKAHEAD = 512
"""More would only make a pause, a cancel or a higher priority take effect later."""

SMOOTHING = 0.1
"""Weight of the newest attempt in the mean duration."""

PATIENCE = 16
"""About what starts on one machine in the time of one job: letting it run empty for the one that
is held up then costs about as much as was gained by not doing so before."""


def room(node: WorkflowNode) -> int:
    """How many more jobs that ask for nothing may be handed over now."""
    return node.max_parallel_jobs + lookahead(node) - node.in_flight + node.following


def taken(node: WorkflowNode) -> int:
    """How many jobs run, or will as soon as there is a place."""
    return node.in_flight - node.following


def take_next(queue: Queue) -> JobNode | None:
    """The next ready job of a queue, taken off; None when there is none."""
    while queue.heap:
        job = heappop(queue.heap)[2]
        if isinstance(job.state, Ready):
            return job
    return None


def choose(
    node: WorkflowNode, ledger: Ledger, claim: Share | None, *, is_own_claim: bool
) -> tuple[Queue | None, Queue | None]:
    """The queue whose first job is next, and the one that is held up; of a workflow with jobs that
    ask. `claim` is what must be left room for, unless it is the one of this workflow."""
    places = room(node)
    at_once = node.max_parallel_jobs - taken(node)
    held_up: Queue | None = None
    for queue in _in_order(node):
        share = queue.share
        if share is not None:
            places = at_once
        if places <= (held_up is not None and is_own_claim):
            break
        if share is None:
            return queue, held_up
        beside = claim
        if is_own_claim:
            beside = held_up.share if held_up is not None else None
        if ledger.fits(share) if beside is None else ledger.fits(share, beside):
            return queue, held_up
        if held_up is None:
            held_up = queue
    return None, held_up


def learn_duration(node: WorkflowNode, microseconds: int) -> None:
    microseconds = max(microseconds, 1)  # the clock may have been put back meanwhile
    mean = node.mean_microseconds
    if mean is None:
        node.mean_microseconds = float(microseconds)
    else:
        node.mean_microseconds = mean + SMOOTHING * (microseconds - mean)


def _in_order(node: WorkflowNode) -> list[Queue]:
    """The queues that have a ready job, by their first."""
    found = []
    for queue in (node.ready, *node.asking):
        heap = queue.heap
        while heap and not isinstance(heap[0][2].state, Ready):
            heappop(heap)
        if heap:
            found.append(queue)
    found.sort(key=lambda queue: queue.heap[0][:2])
    return found


def lookahead(node: WorkflowNode) -> int:
    """How many more than run at once may be handed over."""
    mean = node.mean_microseconds
    if mean is None:
        return 0
    return min(MAX_LOOKAHEAD, int(node.max_parallel_jobs * LOOKAHEAD_MICROSECONDS / mean))
