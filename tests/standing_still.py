"""Whether processes stand still: stopped by a signal, or in a cgroup that is frozen."""

from pathlib import Path

import anyio

from tests.executor_world import PATIENCE_SECONDS
from torcd.executors.local import delegation
from torcd.executors.warden import processes


def stands_still(pid: int) -> bool:
    process = processes.read_process(pid)
    if process is None:
        return False
    if process.state == b"T":
        return True
    try:
        membership = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:  # it has ended since
        return False
    found = delegation.own_cgroup(Path("/proc/self/mountinfo").read_text(), membership)
    events = Path(found[1]) / "cgroup.events" if found is not None else Path("/nowhere")
    return events.exists() and "frozen 1" in events.read_text()


async def until(pids: list[int], *, still: bool) -> None:
    """Wait until all of them stand still, or none. The kernel has no event for both ways."""
    with anyio.fail_after(PATIENCE_SECONDS):
        while any(stands_still(pid) is not still for pid in pids):  # noqa: ASYNC110
            await anyio.sleep(0.002)
