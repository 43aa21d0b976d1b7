"""How fast jobs go through, against a C loop that only spawns.

Ours is measured from the submission to the moment when every result is on disk and the workflow
is over, with output captured. The database is on disk. The logs of jobs are in memory (/dev/shm):
on ext4, creating files is ten times slower for minutes after thousands were deleted nearby, which
every run would do to the next. `--logs-on-disk` measures that too.
"""

import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from bench import machine
from tests.daemon_process import Daemon
from torcd.protocol import manager as m

COMMAND = "/bin/true"


def measure(count: int, at_once: int, rounds: int, *, logs_on_disk: bool) -> None:
    program = machine.build_limit()
    workflow = {"jobs": [{"command": [COMMAND]} for _ in range(count)]}
    ratios, ours, limits = [], [], []
    scratch = Path(tempfile.mkdtemp(prefix="torcd-bench-"))
    logs = None if logs_on_disk else Path(tempfile.mkdtemp(prefix="torcd-bench-", dir="/dev/shm"))
    try:
        for number in range(rounds):
            before = machine.limit_seconds(program, count, at_once, COMMAND)
            mine = _round(scratch / str(number), workflow, at_once, logs)
            after = machine.limit_seconds(program, count, at_once, COMMAND)
            limit = (before + after) / 2
            ratios.append(limit / mine)
            ours.append(mine)
            limits.append(limit)
    finally:
        shutil.rmtree(scratch)
        if logs is not None:
            shutil.rmtree(logs)
    print(f"{count} independent {COMMAND}, {at_once} at a time, {rounds} rounds:")
    print(f"  limit {_spread(limits)} s    torcd {_spread(ours)} s")
    print(f"  of the limit: {_spread(ratios)}")


def _round(directory: Path, workflow: object, at_once: int, logs: Path | None) -> float:
    directory.mkdir()
    daemon = Daemon(directory)
    if logs is not None:
        daemon.state_dir.mkdir(mode=0o700)
        (logs / directory.name).mkdir()
        (daemon.state_dir / "logs").symlink_to(logs / directory.name)
    try:
        daemon.start()
        with daemon.client() as client:
            client.call(m.GetStatus())
            begin = time.perf_counter()
            submitted = client.submit(
                workflow,
                directory=str(directory),
                environment=dict(os.environ),
                max_parallel_jobs=at_once,
            )
            *_, last = client.stream(m.FollowWorkflow(workflow_key=submitted.key))
            seconds = time.perf_counter() - begin
        assert last.workflow.status.value == "completed", last
        return seconds
    finally:
        daemon.close()


def _spread(figures: list[float]) -> str:
    """Median, and from where to where."""
    return f"{statistics.median(figures):.3f} ({min(figures):.3f} to {max(figures):.3f})"
