"""What a crowd of followers costs: 1 000 clients that are told how a workflow stands whenever that
has changed, while its jobs end as fast as they can."""

import contextlib
import subprocess
import time
from collections.abc import Iterator

import msgspec

from bench import native, ours, shapes
from bench.figures import Figure, Skipped, at_least, figure, ratio
from bench.rows.spawning import COMMAND
from bench.run import Run
from tests.daemon_process import Daemon
from torcd.client import conversation
from torcd.model import WorkflowStatus
from torcd.protocol import manager as m


class Watched(msgspec.Struct, frozen=True):
    """A workflow that was followed: how long it took, how many messages came, and the seconds of
    CPU that those who followed took."""

    seconds: float
    messages: int = 0
    busy_seconds: float = 0.0


def watchers(run: Run) -> Iterator[Figure | Skipped]:
    jobs, crowd = run.size(10_000, 60), run.size(1_000, 20)
    alone, watched = [], []
    for _ in run.each_round():
        before = _go(run, jobs, 0)
        watched.append(_go(run, jobs, crowd))
        alone.append((before.seconds + _go(run, jobs, 0).seconds) / 2)
    yield ratio(
        "watchers",
        f"throughput with {crowd} watchers, of that without",
        ("unwatched s", alone),
        ("watched s", [each.seconds for each in watched]),
        target=at_least(0.8),
    )
    yield figure(
        "watchers", "jobs that end", [jobs / each.seconds for each in watched], unit="a second"
    )
    yield figure(
        "watchers",
        "messages to each watcher",
        [each.messages / crowd / each.seconds for each in watched],
        unit="a second",
    )
    yield figure(
        "watchers",
        "of a CPU the watchers take themselves",
        [each.busy_seconds / each.seconds for each in watched],
    )


def _go(run: Run, jobs: int, crowd: int) -> Watched:
    """All jobs wait for the first one, and that for a value, so that the crowd is there before."""
    spec = shapes.workflow(shapes.fan(jobs), COMMAND)
    spec["jobs"][0]["input_user_data"] = ["go"]
    spec["user_data"] = [{"name": "go"}]
    with ours.daemon(run) as daemon, daemon.client() as client:
        file = ours.spec_file(run, spec)
        key = ours.submit(daemon, file, "-j", str(run.at_once), "--wait-for-inputs")
        with _watching(daemon, key, crowd) as process:
            begin = time.perf_counter()
            client.store("go", True, workflow_key=key)
            info = client.wait(key)
            seconds = time.perf_counter() - begin
            assert info.status is WorkflowStatus.COMPLETED, info
            assert info.jobs["completed"] == jobs, info
            if process is None:
                return Watched(seconds)
            said, _ = process.communicate(timeout=60)
            assert process.returncode == 0, said
        messages, busy = said.split()
        return Watched(seconds, int(messages), float(busy))


@contextlib.contextmanager
def _watching(daemon: Daemon, key: str, crowd: int) -> Iterator["subprocess.Popen[bytes] | None"]:
    if not crowd:
        yield None
        return
    request = conversation.encode(m.FollowWorkflow(workflow_key=key), more=True)
    process = subprocess.Popen(
        [native.program("load"), "watch", daemon.socket, str(crowd)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(request)
        process.stdin.close()
        process.stdin = None
        assert process.stdout.readline() == b"watching\n"
        yield process
    finally:
        process.kill()
        process.wait()
