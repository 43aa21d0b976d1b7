"""Following a workflow: a message whenever it has changed, across a daemon that restarts."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from torcctl.invocation import Invocation
from torcd.client.conversation import ConnectionBroken
from torcd.errors import NoDaemon, ShuttingDown, TimedOut
from torcd.model import WORKFLOW_OVER
from torcd.protocol import manager as m


def changes(invocation: Invocation, key: str | None) -> Iterator[m.WorkflowInfo]:
    """The workflow as it stands, and again whenever it has changed, until it is over.

    When the daemon goes away while it is followed, this waits for the next one, as long as the
    client waits for a daemon. Raises NoDaemon when none comes.
    """
    while True:
        seen: m.WorkflowInfo | None = None
        try:
            for reply in invocation.stream(m.FollowWorkflow(workflow_key=key)):
                if seen is None:
                    invocation.be_patient()  # also with what is asked about it in between
                seen = reply.workflow
                key = seen.key
                yield seen
                if seen.status in WORKFLOW_OVER and not seen.stopping:
                    return
        except (NoDaemon, ShuttingDown) as e:
            if seen is None and not isinstance(e, ConnectionBroken | ShuttingDown):
                raise
        else:
            return
        invocation.wait_for_daemon()


def to_the_end(invocation: Invocation, key: str | None) -> m.WorkflowInfo:
    """Wait for the end of a workflow; returns it as it then stands."""
    last = None
    for info in changes(invocation, key):
        last = info
    if last is None:
        raise NoDaemon("the daemon hung up without an answer", socket=invocation.socket)
    return last


@contextlib.contextmanager
def deadline(seconds: float | None, what: str) -> Iterator[None]:
    """Raise TimedOut in the midst of whatever blocks, when the time is over."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise TimedOut(f"{what} took longer than {seconds:g} s", timeout_seconds=seconds or 0)

    if seconds is None:
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    try:
        # A time of 0 would switch the timer off.
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6))
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
