"""The log as systemd's journal takes it."""

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

import pytest

from torcd import journal


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(os.path.relpath(tmp_path / "j"))
        sock.settimeout(5)
        yield sock


def test_facts_are_fields_in_capitals_and_the_message_has_them_all() -> None:
    event = {"event": "job_failed", "level": "warning", "workflow": "7", "job": "fit", "attempt": 2}
    assert journal.fields(event) == {
        "WORKFLOW": "7",
        "JOB": "fit",
        "ATTEMPT": "2",
        "MESSAGE": "job_failed workflow=7 job=fit attempt=2",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "torcd",
    }


def test_no_fact_passes_for_what_the_journal_itself_says() -> None:
    event = {"event": "e", "level": "error", "_pid": 1, "message": "m", "priority": 0, "a-b": 2}
    found = journal.fields(event)
    assert found["PRIORITY"] == "3"
    assert found["MESSAGE"].startswith("e ")
    assert (found["PID"], found["A_B"]) == ("1", "2")


def test_a_traceback_is_part_of_the_message() -> None:
    found = journal.fields({"event": "bug", "level": "error", "exception": "Traceback\n  x"})
    assert found["MESSAGE"] == "bug\nTraceback\n  x"


def test_a_value_with_line_breaks_is_one_value() -> None:
    value = b"a\nPRIORITY=0"
    expected = b"X=1\nMESSAGE\n" + struct.pack("<Q", len(value)) + value + b"\n"
    assert journal.encode({"X": "1", "MESSAGE": value.decode()}) == expected


@contextmanager
def into(address: str, said: list[str]) -> Iterator[journal.Journal]:
    with closing(journal.Journal(said.append, address)) as opened:
        yield opened


def test_a_line_is_a_datagram(listening: socket.socket) -> None:
    said: list[str] = []
    with into(listening.getsockname(), said) as opened:
        opened.send({"PRIORITY": "6", "MESSAGE": "m"})
    assert listening.recv(1000) == b"PRIORITY=6\nMESSAGE=m\n"
    assert not said


def test_what_the_journal_does_not_take_goes_to_standard_error(listening: socket.socket) -> None:
    said: list[str] = []
    with into(listening.getsockname(), said) as opened:
        opened.send({"PRIORITY": "3", "MESSAGE": "x" * (8 << 20)})
    with into("/nowhere", said) as opened:
        opened.send({"PRIORITY": "3", "MESSAGE": "m"})
    assert [line[:4] for line in said] == ["<3>x", "<3>m"]


def test_a_journal_that_does_not_read_holds_nobody_up(listening: socket.socket) -> None:
    said: list[str] = []
    with into(listening.getsockname(), said) as opened:
        sent = fill(listening.getsockname())
        opened.send({"PRIORITY": "6", "MESSAGE": "m"})
    assert not said
    assert [listening.recv(10) for _ in range(sent)] == [b"x"] * sent


def fill(address: str) -> int:
    """How many datagrams its queue took."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        for sent in count():
            try:
                other.sendto(b"x", address)
            except BlockingIOError:
                return sent
    raise AssertionError


def test_a_variable_that_was_inherited_is_not_believed(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        facts = os.fstat(file.fileno())
        assert journal.is_stream(file.fileno(), f"{facts.st_dev}:{facts.st_ino}")
        assert not journal.is_stream(file.fileno(), f"{facts.st_dev}:{facts.st_ino + 1}")
        assert not journal.is_stream(file.fileno(), "")
    done = subprocess.run(
        [sys.executable, "-c", "from torcd import log; log.set_up('info', 'auto').info('e')"],
        env={**os.environ, "JOURNAL_STREAM": "1:2"},
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stderr.startswith('{"event": "e"')


def test_the_log_goes_there_where_standard_error_does(listening: socket.socket) -> None:
    """With the journal's address replaced, for there may be a real one here."""
    script = (
        "import os, sys; from torcd import journal, log; facts = os.fstat(2);"
        "os.environ['JOURNAL_STREAM'] = f'{facts.st_dev}:{facts.st_ino}';"
        "journal.Journal.__init__.__defaults__ = (sys.argv[1],);"
        "log.set_up('info', 'auto').warning('e', workflow='1')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, listening.getsockname()],
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert listening.recv(1000).split(b"\n")[:2] == [b"WORKFLOW=1", b"MESSAGE=e workflow=1"]
