"""What an idle daemon costs: memory, and wakeups of its own, daemon and warden together."""

import tempfile
import time
from pathlib import Path

from tests.daemon_process import Daemon
from torcd.protocol import manager as m


def measure(seconds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="torcd-bench-") as directory:
        daemon = Daemon(Path(directory))
        try:
            daemon.start()
            # One workflow, so that there is a warden and everything has been used once.
            assert daemon.run({"jobs": [{"command": "true"}]}).returncode == 0
            with daemon.client() as client:
                status = client.call(m.GetStatus())
                pids = [status.pid] + ([status.warden_pid] if status.warden_pid else [])
                memory = {pid: _resident_mib(pid) for pid in pids}
                time.sleep(1)
                before = _switches(pids)
                # The client stays: that it goes would be a wakeup, but not one of the daemon's own.
                time.sleep(seconds)
                wakeups = _switches(pids) - before
        finally:
            daemon.close()
    each = ", ".join(f"{mib:.1f}" for mib in memory.values())
    print(f"idle: {sum(memory.values()):.1f} MiB resident (daemon, warden: {each})")
    print(f"idle: {wakeups} wakeups of all threads in {seconds} s")


def _resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"process {pid} has no memory")


def _switches(pids: list[int]) -> int:
    """How often any thread went to sleep, or was put aside, so far."""
    total = 0
    for pid in pids:
        for status in Path(f"/proc/{pid}/task").glob("*/status"):
            for line in status.read_text().splitlines():
                if "ctxt_switches:" in line:
                    total += int(line.split()[1])
    return total
