"""How soon a daemon goes on with a large workflow that is half finished.

The workflow is run by a daemon that stops in the middle, once; each round starts another one on a
copy of what that has left. It counts from the start of the program until the first job runs. The
same with a small workflow says what there is to starting in any case.
"""

import os
import select
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from bench import native, ours, shapes
from bench.figures import Figure, Skipped, at_most, figure, ratio
from bench.run import Run
from torcd.protocol import manager as m

PATIENCE_SECONDS = 60.0


class Left(msgspec.Struct, frozen=True):
    """What a daemon has left: its state, and where its next job says when it runs: in a file, if
    that is not there, and then with a byte in a pipe."""

    state_dir: Path
    ran: Path
    pipe: Path


def start(run: Run) -> Iterator[Figure | Skipped]:
    many, few = run.size(100_000, 1_000), run.size(1_000, 400)
    large, small = _left(run, many, many // 2), _left(run, few, 1)
    large_seconds, small_seconds = [], []
    for _ in run.each_round():
        small_seconds.append(_seconds_to_the_first_job(run, small))
        large_seconds.append(_seconds_to_the_first_job(run, large))
    yield figure(
        "start",
        f"to the first job, {many} half finished",
        large_seconds,
        unit="s",
        target=at_most(3),
        measured={"large s": large_seconds},
    )
    yield ratio(
        "start",
        f"the same, times that with {few} jobs",
        ("large s", large_seconds),
        ("small s", small_seconds),
    )


def _left(run: Run, jobs: int, ended: int) -> Left:
    run.say(f"running {ended} of {jobs}")
    directory = run.fresh("left")
    ran, pipe = directory / "ran", directory / "pipe"
    os.mkfifo(pipe)
    ran.touch()
    command = f"{native.program('stamp')} first {ran} {pipe}"
    spec = ours.spec_file(run, shapes.workflow(shapes.flat(jobs), command))
    with ours.daemon(run) as daemon:
        key = ours.submit(daemon, spec, "-j", str(run.at_once))
        with (
            daemon.client() as client,
            closing(client.stream(m.FollowWorkflow(workflow_key=key))) as replies,
        ):
            for reply in replies:
                if reply.workflow.jobs["completed"] >= ended:
                    break
            client.call(m.Stop(jobs="wait"))
        assert daemon.process is not None
        assert daemon.process.wait(timeout=PATIENCE_SECONDS) == 0
        daemon.process = None
        return Left(daemon.state_dir, ran, pipe)


def _seconds_to_the_first_job(run: Run, left: Left) -> float:
    directory = run.fresh("torcd")
    ignored = shutil.ignore_patterns("logs")
    shutil.copytree(left.state_dir, directory / "state", ignore=ignored)
    left.ran.unlink()
    daemon = ours.made_daemon(run, directory)
    pipe = os.open(left.pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        begin = time.monotonic()
        daemon.spawn()
        readable, _, _ = select.select([pipe], [], [], PATIENCE_SECONDS)
        assert readable, f"no job was started:\n{daemon.log.read_text()}"
        (ran,) = native.stamps(left.ran)
        with daemon.client() as client:
            assert client.status().jobs["completed"] > 0
        return ran - begin
    finally:
        os.close(pipe)
        daemon.close()
