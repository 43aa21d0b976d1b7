"""What the daemon tells whoever started it for as long as it serves: how it is, and that it is."""

from collections import Counter

import anyio

from torcd.controller import Controller
from torcd.model import JobStatus
from torcd.notify import is_heard, notify

STATUS_SECONDS = 1.0
"""At least so long between two STATUS=: people read them, and jobs may end by the thousand."""

_SHOWN = (JobStatus.RUNNING, JobStatus.PENDING, JobStatus.READY, JobStatus.BLOCKED)


def status_text(controller: Controller) -> str:
    """How the jobs of all unfinished workflows are, in one line."""
    nodes = [node for node in controller.scheduler.workflows.values() if not node.is_over]
    counts: Counter[JobStatus] = Counter()
    for node in nodes:
        counts.update(node.shown_counts)
    jobs = ", ".join(f"{counts[status]} {status.value}" for status in _SHOWN if counts[status])
    plural = "" if len(nodes) == 1 else "s"
    text = f"{len(nodes)} workflow{plural} unfinished; jobs: {jobs or 'none'}" if nodes else "idle"
    held_up = controller.held_up
    return text if held_up is None else f"nothing can be started: {held_up} ({text})"


async def tell_status(controller: Controller) -> None:
    """Tell it now, and whenever it has changed; nobody to tell is no work."""
    if not is_heard():
        return
    told = None
    with controller.feed.changes() as changes:
        while True:
            await controller.settled()
            next_at = anyio.current_time() + STATUS_SECONDS
            text = status_text(controller)
            if text != told:
                notify(f"STATUS={text}")
                told = text
            await changes.wait()
            await anyio.sleep_until(next_at)


async def feed_watchdog(controller: Controller, seconds: float) -> None:
    """Twice within `seconds`, as long as what comes in is decided and written down; standing still
    for want of room is no failure. Whoever waits for it ends us when it does not come."""
    while True:
        await controller.settled()
        notify("WATCHDOG=1")
        await anyio.sleep(seconds / 2)
