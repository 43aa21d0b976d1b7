"""What an idle daemon costs, daemon and warden together: wakeups, CPU time and memory."""

import time
from collections.abc import Iterator
from pathlib import Path

from bench import machine, ours, shapes
from bench.figures import Figure, Skipped, at_most, figure
from bench.rows.spawning import COMMAND
from bench.run import Run
from torcd.protocol import manager as m

SETTLING_SECONDS = 2.0
"""What a daemon does a moment after it was busy is no idling: it tells its status by the second."""


def idle(run: Run) -> Iterator[Figure | Skipped]:
    seconds = run.seconds(60.0, 1.0)
    wakeups, milliseconds, memory = [], [], []
    # One round: there is nothing that it would be a ratio to, and it is counted, not timed.
    with ours.daemon(run) as daemon:
        # One workflow, so that there is a warden and everything has been used once.
        ours.go(run, daemon, ours.spec_file(run, shapes.workflow(shapes.flat(20), COMMAND)))
        with daemon.client() as client:
            status = client.call(m.GetStatus())
            assert status.warden_pid is not None
            pids = [status.pid, status.warden_pid]
            time.sleep(SETTLING_SECONDS)
            before = _switches(pids), _cpu_seconds(pids)
            # The client stays: that it goes would be a wakeup, but not one of the daemon's own.
            time.sleep(seconds)
            wakeups.append((_switches(pids) - before[0]) * 60 / seconds)
            milliseconds.append((_cpu_seconds(pids) - before[1]) * 60e3 / seconds)
            memory.append(sum(map(machine.resident_kib, pids)) / 1024)
    yield figure("idle", "wakeups of all threads", wakeups, unit="a minute", target=at_most(0))
    yield figure("idle", "CPU time", milliseconds, unit="ms a minute", target=at_most(0))
    yield figure("idle", "resident memory", memory, unit="MiB")


def _switches(pids: list[int]) -> int:
    """How often any thread went to sleep, or was put aside, so far."""
    total = 0
    for pid in pids:
        for status in Path(f"/proc/{pid}/task").glob("*/status"):
            for line in status.read_text().splitlines():
                if "ctxt_switches:" in line:
                    total += int(line.split()[1])
    return total


def _cpu_seconds(pids: list[int]) -> float:
    """What all threads have had of a CPU so far."""
    files = (file for pid in pids for file in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9
