"""What the daemon tells systemd, read in systemd's place."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon_process import Daemon
from tests.full_disk import private_mounts
from tests.notices import Notices
from torcd.protocol import manager as m


@pytest.fixture
def notices() -> Iterator[Notices]:
    with Notices.open() as heard:
        yield heard


@pytest.fixture
def watched(tmp_path: Path, notices: Notices) -> Iterator[Daemon]:
    """A daemon that has told that it serves, and nothing after that has been read."""
    daemon = Daemon(tmp_path)
    daemon.notices = notices
    try:
        daemon.start()
        yield daemon
        daemon.check()
    finally:
        daemon.close()


def test_it_is_ready_when_it_serves_and_says_so_first(watched: Daemon, notices: Notices) -> None:
    assert notices.next() == ["READY=1"]
    assert watched.torcctl("daemon", "status").returncode == 0
    assert notices.next() == ["STATUS=idle"]


def test_the_status_has_the_counts_and_follows_them(watched: Daemon, notices: Notices) -> None:
    watched.submit(
        {
            "jobs": [
                {"name": "a", "command": "sleep 1000"},
                {"name": "b", "command": "true"},
                {"name": "c", "command": "true", "depends_on": ["b"]},
            ]
        },
        "-j",
        "1",
    )
    line = "STATUS=1 workflow unfinished; jobs: 1 running, 1 ready, 1 blocked"
    notices.until(lambda told: told == line)
    assert watched.torcctl("cancel").returncode == 0
    notices.until(lambda told: told == "STATUS=idle")


def test_a_thousand_ends_are_few_messages(watched: Daemon, notices: Notices) -> None:
    assert notices.next() == ["READY=1"]
    done = watched.run(
        {"jobs": [{"name": "j{i}", "command": "true", "parameters": {"i": "1:200"}}]}
    )
    assert done.returncode == 0, done.stderr
    assert watched.stop() == 0
    told = notices.until(lambda line: line == "STOPPING=1")
    assert len([line for line in told if line.startswith("STATUS=")]) < 30


def test_it_stops_only_when_the_jobs_that_are_waited_for_have_ended(
    watched: Daemon, notices: Notices, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    watched.submit({"jobs": [{"name": "a", "command": f"read x < {gate}"}]})
    assert watched.process is not None
    with watched.client() as client:
        client.call(m.Stop(jobs="wait"))
    notices.until(lambda line: "1 running" in line)
    gate.write_text("go\n")
    watched.process.wait(timeout=20)
    told = notices.until(lambda line: line == "STOPPING=1")
    assert "STATUS=idle" in told or "STATUS=stopping" in told
    watched.process = None


def test_the_watchdog_is_fed_twice_in_its_time(tmp_path: Path, notices: Notices) -> None:
    daemon = Daemon(tmp_path)
    daemon.notices = notices
    daemon.environment["WATCHDOG_USEC"] = "400000"
    try:
        daemon.start()
        for _ in range(3):
            notices.until(lambda line: line == "WATCHDOG=1")
        daemon.check()
    finally:
        daemon.close()


def test_a_watchdog_that_waits_for_another_process_is_not_fed(
    tmp_path: Path, notices: Notices
) -> None:
    daemon = Daemon(tmp_path)
    daemon.notices = notices
    daemon.environment |= {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    try:
        daemon.start()
        notices.until(lambda line: line == "STATUS=idle")
        assert daemon.stop() == 0
        assert "WATCHDOG=1" not in notices.until(lambda line: line == "STOPPING=1")
    finally:
        daemon.close()


def test_sighup_has_the_configuration_read_again(watched: Daemon, notices: Notices) -> None:
    notices.until(lambda line: line == "STATUS=idle")
    watched.config.write_text("max_parallel_jobs = 1\n")
    assert watched.process is not None
    watched.process.send_signal(signal.SIGHUP)
    reloading = notices.next()
    assert reloading[0] == "RELOADING=1"
    assert reloading[1].partition("=")[0] == "MONOTONIC_USEC"
    assert int(reloading[1].partition("=")[2]) > 0
    assert notices.next() == ["READY=1"]
    watched.submit({"jobs": [{"name": n, "command": "sleep 1000"} for n in "ab"]})
    notices.until(lambda line: line.endswith("jobs: 1 running, 1 ready"))


def test_a_full_disk_is_told_and_keeps_the_watchdog_fed(tmp_path: Path, notices: Notices) -> None:
    with private_mounts() as mount:
        disk = mount(tmp_path / "state", 24 << 20)
        daemon = Daemon(tmp_path)
        daemon.notices = notices
        daemon.environment["WATCHDOG_USEC"] = "400000"
        try:
            daemon.start()
            disk.fill()
            large = {"jobs": [{"command": "true", "invocation_script": "x" * 2_000_000}]}
            done = daemon.torcctl("submit", "-", stdin=json.dumps(large))
            assert "the disk is full" in done.stderr
            notices.until(
                lambda line: line.startswith("STATUS=nothing can be started: the disk is full: ")
            )
            for _ in range(3):
                notices.until(lambda line: line == "WATCHDOG=1")
            disk.make_room()
            notices.until(lambda line: line == "STATUS=idle")
        finally:
            daemon.close()
