"""Meanwhile, for the others, it is as if nobody attacked: they are served, and soon, their jobs
start, and the daemon is no larger."""

import contextlib
import resource
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon_process import Daemon, running_daemon
from tests.wire import attacker

MAX_GROWTH_BYTES = 64 << 20

MAX_LEFT_BYTES = 20 << 20
"""Of that, when the attacker is gone: what is not worth giving back."""

MAX_RATIO = 10.0
"""Of the p99 in an attack and the p99 without one."""

PATIENCE_SECONDS = 30
"""For what a daemon does a moment after an attack."""

ROUNDS = 5
CALLS = 200
"""In each half of a round."""

REASONS: dict[str, str] = {
    "without_end": "a message is larger than",
    "half": "no whole message in time",
    "middling_half": "while others wait for room",
    "large_half": "while others wait for room",
    "never_reads": "while others wait for room",
    "byte_a_second": "no whole message in time",
    "crowd": "too many connections",
}
"""What the log says of those that get no answer. The others get an error, or what they want."""

SPEC = {
    "jobs": [{"name": "j", "command": "sleep 1000"}],
    "user_data": [{"name": "large"}, {"name": "given"}, {"name": "mine"}],
}

CALLS_OF_OTHERS = (
    attacker.STATUS,
    b'{"method":"io.torcd.UserData.Store","parameters":{"workflow_key":"1","name":"mine",'
    b'"data":"%s"}}\0' % (b"x" * 1000),
    b'{"method":"io.torcd.UserData.Fetch","parameters":{"workflow_key":"1","name":"mine"}}\0',
)


class Other:
    """Another client, with a connection of its own."""

    def __init__(self, daemon: Daemon) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(daemon.socket))

    def close(self) -> None:
        self.socket.close()

    def ask(self, question: bytes) -> bytes:
        self.socket.sendall(question)
        answer = b""
        while not answer.endswith(b"\0"):
            piece = self.socket.recv(1 << 20)
            assert piece, "the connection was closed"
            answer += piece
        assert b'"error"' not in answer[:20]
        return answer

    def p99_seconds(self) -> float:
        took = []
        for n in range(CALLS):
            began = time.perf_counter()
            self.ask(CALLS_OF_OTHERS[n % len(CALLS_OF_OTHERS)])
            took.append(time.perf_counter() - began)
        return statistics.quantiles(took, n=100)[98]


@contextlib.contextmanager
def attack(daemon: Daemon, kind: str) -> Iterator[subprocess.Popen[bytes]]:
    attacking = subprocess.Popen(
        [sys.executable, attacker.__file__, str(daemon.socket), kind], stdout=subprocess.PIPE
    )
    try:
        assert attacking.stdout is not None
        assert attacking.stdout.readline() == b"begun\n"
        yield attacking
        assert attacking.poll() is None
    finally:
        attacking.kill()
        attacking.communicate()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """One that may have 2 000 connections: at 1 024 it is its own limit that counts."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, limits[1]), limits[1]))
    try:
        with running_daemon(tmp_path) as running:
            key = running.submit(SPEC)
            value = tmp_path / "given.json"
            value.write_bytes(b'"%s"' % (b"x" * attacker.LARGE_BYTES))
            given = running.torcctl("-k", key, "data", "put", "given", f"@{value}")
            assert given.returncode == 0, given.stderr
            yield running
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def memory_bytes(daemon: Daemon, figure: str) -> int:
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.split(f"{figure}:")[1].split()[0]) * 1024


@pytest.mark.timeout(180)  # the machine may be busy with others
@pytest.mark.parametrize("kind", attacker.KINDS)
def test_an_attack_costs_the_others_nothing_but_time(daemon: Daemon, kind: str) -> None:
    with contextlib.closing(Other(daemon)) as other:
        look_at_an_attack(daemon, other, kind)


def look_at_an_attack(daemon: Daemon, other: Other, kind: str) -> None:
    assert daemon.process is not None
    other.p99_seconds()  # what is done for the first time takes longer
    before = memory_bytes(daemon, "VmRSS")
    Path(f"/proc/{daemon.process.pid}/clear_refs").write_text("5")  # the peak is that of now
    quiet, attacked = [], []
    with attack(daemon, kind) as attacking:
        for _ in range(ROUNDS):
            attacked.append(other.p99_seconds())
            attacking.send_signal(signal.SIGSTOP)
            quiet.append(other.p99_seconds())
            attacking.send_signal(signal.SIGCONT)
        done = daemon.run({"jobs": [{"command": "true"}, {"command": "true"}]})
        assert done.returncode == 0, done.stderr
        if kind in REASONS:
            wait_for_reason(daemon, other, REASONS[kind])
        growth = memory_bytes(daemon, "VmHWM") - before
    end = time.monotonic() + PATIENCE_SECONDS
    while (left := memory_bytes(daemon, "VmRSS") - before) > MAX_LEFT_BYTES:
        assert time.monotonic() < end, f"{left >> 20} MiB are not given back"
        other.ask(attacker.STATUS)  # what it still has to do comes first
    ratio = statistics.median(a / q for a, q in zip(attacked, quiet, strict=True))
    print(f"{kind}: p99 x {ratio:.1f}, {growth / (1 << 20):.1f} MiB")
    assert ratio < MAX_RATIO
    assert growth < MAX_GROWTH_BYTES
    log = daemon.log.read_text()
    assert "Traceback" not in log
    assert log.count("connection closed") <= 2 * 20


def wait_for_reason(daemon: Daemon, other: Other, reason: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while reason not in daemon.log.read_text():
        assert time.monotonic() < end, daemon.log.read_text()
        other.ask(attacker.STATUS)
