"""torcd as the benchmarks use it: a daemon of its own for each round, and torcctl as a user has it.

A round begins with an empty database. What is measured begins with `torcctl submit` and ends when a
client that waits for the workflow is told that it is over: by then all its results are on disk.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from bench import machine
from bench.run import Run
from tests.daemon_process import BIN, Daemon
from torcd.model import JobStatus, WorkflowStatus
from torcd.protocol import manager as m

TORCCTL = BIN / "torcctl"
PYTHON = BIN / "python"


class Went(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow that went well. Seconds count from the submission; the memory is the daemon's."""

    key: str
    submitted_seconds: float
    """When torcctl returned."""
    seconds: float
    """When it was over."""
    kib_before: int
    kib_submitted: int
    kib_over: int


@contextmanager
def daemon(run: Run, directory: Path | None = None) -> Iterator[Daemon]:
    """A daemon that serves, in a fresh directory unless told which."""
    made = made_daemon(run, directory or run.fresh("torcd"))
    try:
        made.start()
        yield made
        made.check()
    finally:
        made.close()


def made_daemon(run: Run, directory: Path) -> Daemon:
    """A daemon that was not started yet."""
    made = Daemon(directory)
    if run.logs is not None:
        made.state_dir.mkdir(mode=0o700, exist_ok=True)
        logs = run.logs / directory.name
        logs.mkdir()
        (made.state_dir / "logs").symlink_to(logs)
    return made


def spec_file(run: Run, spec: dict[str, Any]) -> Path:
    """A spec as a user has it: in a file."""
    path = run.fresh("spec") / "workflow.json"
    path.write_text(json.dumps(spec))
    return path


def submit(daemon: Daemon, spec: Path, *options: str) -> str:
    """`torcctl submit`; returns the key."""
    done = subprocess.run(
        [TORCCTL, "submit", *options, spec],
        env=os.environ | daemon.environment,  # jobs have the user's, as those of the others
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def go(run: Run, daemon: Daemon, spec: Path, *, at_once: int | None = None) -> Went:
    """Submit and wait for the end. Raises AssertionError if a job did not do well."""
    assert daemon.process is not None
    pid = daemon.process.pid
    with daemon.client() as client:
        client.call(m.GetStatus())  # the connection is there
        kib_before = machine.resident_kib(pid)
        begin = time.perf_counter()
        key = submit(daemon, spec, "-j", str(at_once or run.at_once))
        submitted = time.perf_counter()
        kib_submitted = machine.resident_kib(pid)
        info = client.wait(key)
        end = time.perf_counter()
        kib_over = machine.resident_kib(pid)
        assert info.status is WorkflowStatus.COMPLETED, info
        results = client.results(workflow_key=key)
    assert len(results) == sum(info.jobs.values()), (len(results), info.jobs)
    assert all(result.status is JobStatus.COMPLETED for result in results)
    assert all(result.stdout and os.path.exists(result.stdout) for result in results)
    return Went(
        key=key,
        submitted_seconds=submitted - begin,
        seconds=end - begin,
        kib_before=kib_before,
        kib_submitted=kib_submitted,
        kib_over=kib_over,
    )


def seconds_for(run: Run, spec: Path, *, at_once: int | None = None) -> float:
    """How long a new daemon takes for a workflow."""
    with daemon(run) as fresh:
        return go(run, fresh, spec, at_once=at_once).seconds
