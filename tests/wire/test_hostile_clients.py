"""Clients that want to hurt: they cost others nothing, and the daemon no more than its bounds."""

import contextlib
import json
import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon_process import Daemon

SPEC = {
    "jobs": [{"name": "j", "command": "sleep 1000", "output_user_data": ["unset"]}],
    "user_data": [{"name": "unset"}, {"name": "large"}],
}

LARGE_BYTES = 15 << 20

MIB = 1 << 20


def connect(daemon: Daemon) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(str(daemon.socket))
    return sock


def message(method: str, *, more: bool = False, **parameters: object) -> bytes:
    return json.dumps({"method": method, "more": more, "parameters": parameters}).encode() + b"\0"


def ask(daemon: Daemon, question: bytes) -> bytes:
    with connect(daemon) as sock:
        return ask_over(sock, question)


def ask_over(sock: socket.socket, question: bytes) -> bytes:
    sock.sendall(question)
    answer = b""
    while not answer.endswith(b"\0"):
        answer += sock.recv(MIB)
    return answer


def descriptors(daemon: Daemon) -> int:
    assert daemon.process is not None
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))


def resident_bytes(daemon: Daemon) -> int:
    assert daemon.process is not None
    pages = Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def wait_until(daemon: Daemon, condition: Callable[[], bool]) -> None:
    """Ask the daemon something, and look again: what it still has to do comes first. All over one
    connection, which is there at each look: the end of another might always be seen too late."""
    with connect(daemon) as sock:
        for _ in range(1_000):
            ask_over(sock, STATUS)
            if condition():
                return
    raise AssertionError("it never came to that")


STATUS = message("io.torcd.Manager.GetStatus")

ENDLESS = {
    "FollowEvents": message("io.torcd.Manager.FollowEvents", more=True),
    "FollowWorkflow": message("io.torcd.Manager.FollowWorkflow", more=True),
    "Fetch": message("io.torcd.UserData.Fetch", name="unset", wait=True),
    "Watch": message("io.torcd.UserData.Watch", more=True),
}
"""Calls that wait for something which does not happen."""


def test_who_is_gone_is_not_waited_for(daemon: Daemon) -> None:
    daemon.submit(SPEC)
    with connect(daemon) as only:  # as there is one when they are counted again
        for _ in range(20):
            ask_over(only, STATUS)  # so that the end of the others has been seen
        before = descriptors(daemon)
    for call in ENDLESS.values():
        with connect(daemon) as at_once:
            at_once.sendall(call)
        with connect(daemon) as half_closed:
            half_closed.sendall(call)
            half_closed.shutdown(socket.SHUT_WR)
            ask(daemon, STATUS)  # so that it has been seen
        with connect(daemon) as flooding:
            flooding.sendall(call * 40)  # more than may wait: it is not read any more
            ask(daemon, STATUS)
    wait_until(daemon, lambda: descriptors(daemon) <= before)


def test_what_a_client_sends_ahead_does_not_fill_the_memory(daemon: Daemon) -> None:
    daemon.submit(SPEC)
    before = resident_bytes(daemon)
    store = b'{"method":"io.torcd.UserData.Store","parameters":{"name":"large","data":"%s"}}\0'
    with connect(daemon) as sock:
        sock.settimeout(0.5)
        sock.sendall(ENDLESS["Fetch"])
        with pytest.raises(TimeoutError):
            sock.sendall(store % (b"x" * LARGE_BYTES) * 10)
        assert resident_bytes(daemon) - before < 4 * LARGE_BYTES
        assert b"warden_pid" in ask(daemon, STATUS)


def test_large_answers_for_many_are_made_when_there_is_room_for_them(daemon: Daemon) -> None:
    key = daemon.submit(SPEC)
    value = daemon.directory / "large.json"
    value.write_bytes(b'"%s"' % (b"x" * LARGE_BYTES))
    assert daemon.torcctl("-k", key, "data", "put", "large", f"@{value}").returncode == 0
    before = resident_bytes(daemon)
    fetch = message("io.torcd.UserData.Fetch", name="large")
    readers = [connect(daemon) for _ in range(8)]
    peak = 0
    for reader in readers:
        reader.sendall(fetch)
    for reader in readers:
        size = 0
        while size < LARGE_BYTES:
            size += len(reader.recv(MIB))
            peak = max(peak, resident_bytes(daemon))
        reader.close()
    assert peak - before < 3 * LARGE_BYTES
    wait_until(daemon, lambda: resident_bytes(daemon) - before < LARGE_BYTES)


def test_who_leaves_before_a_large_answer_leaves_nothing_behind(daemon: Daemon) -> None:
    daemon.submit(SPEC)
    ask(daemon, STATUS)
    before = resident_bytes(daemon)
    store = b'{"method":"io.torcd.UserData.Store","parameters":{"name":"large","data":"%s"}}\0'
    for _ in range(6):
        with connect(daemon) as sock:
            sock.sendall(store % (b"x" * LARGE_BYTES))
            assert sock.recv(1000)
    wait_until(daemon, lambda: resident_bytes(daemon) - before < 2 * LARGE_BYTES)


def test_large_values_that_are_refused_leave_nothing_behind(daemon: Daemon) -> None:
    daemon.submit(SPEC)
    ask(daemon, STATUS)
    before = resident_bytes(daemon)
    store = b'{"method":"io.torcd.UserData.Store","parameters":{"name":"large","data":%s"%s"%s}}\0'
    for _ in range(6):
        answer = ask(daemon, store % (b"[" * 70, b"x" * LARGE_BYTES, b"]" * 70))
        assert b"InvalidValue" in answer
    wait_until(daemon, lambda: resident_bytes(daemon) - before < 2 * LARGE_BYTES)


def test_what_a_crowd_took_is_given_back_when_it_has_left(daemon: Daemon) -> None:
    ask(daemon, STATUS)
    before = resident_bytes(daemon)
    begun = b'{"method":"io.torcd.UserData.Store","parameters":{"name":"large","data":"'
    crowd = [connect(daemon) for _ in range(400)]
    for sock in crowd:
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            sock.sendall(begun + b"x" * 100_000)
    ask(daemon, STATUS)
    assert resident_bytes(daemon) - before > 10 * MIB
    for sock in crowd:
        sock.close()
    end = time.monotonic() + 20
    while (left := resident_bytes(daemon) - before) > 8 * MIB:
        assert time.monotonic() < end, f"{left // MIB} MiB are not given back"
        ask(daemon, STATUS)


def test_more_connections_than_there_are_descriptors_for_take_none_from_the_daemon(
    tmp_path: Path,
) -> None:
    daemon = Daemon(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, limits[1]))
    try:
        daemon.start()  # it inherits the limit
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    crowd = []
    try:
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGSTOP)  # they all wait when it looks
        for _ in range(800):
            crowd.append(connect(daemon))
        daemon.process.send_signal(signal.SIGCONT)
        refused = crowd[-1].recv(1000)
        assert b"too many connections" in refused
        for sock in crowd:
            sock.close()
        wait_until(daemon, lambda: descriptors(daemon) < 100)
        log = daemon.log.read_text()
        assert "Traceback" not in log
        assert log.count("\n") < 100
        daemon.check()
    finally:
        for sock in crowd:
            sock.close()
        daemon.close()
