"""Which processes are other wardens of the same state directory."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from torcd.executors.local import launching
from torcd.executors.warden.others import Others

LOCKED = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def lock() -> Iterator[Callable[[Path], int]]:
    """Have a process that has the lock of a warden with that directory; its pid."""
    with ExitStack() as stack:

        def lock(directory: Path) -> int:
            directory.mkdir(exist_ok=True)
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", LOCKED, str(directory / "warden.lock")],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
            return process.pid

        yield lock


def test_each_warden_finds_the_others_and_not_itself(
    tmp_path: Path, lock: Callable[[Path], int]
) -> None:
    directories = [tmp_path, tmp_path / "warden.1", tmp_path / "warden.2"]
    pids = [lock(directory) for directory in directories]
    for directory, pid in zip(directories, pids, strict=True):
        assert Others(str(directory)).pids() == set(pids) - {pid}


def test_one_that_has_ended_and_what_is_no_warden_s_directory_are_none(
    tmp_path: Path, lock: Callable[[Path], int]
) -> None:
    (tmp_path / "warden.1").mkdir()
    (tmp_path / "warden.1" / "warden.lock").touch()
    (tmp_path / "1").mkdir()
    lock(tmp_path / "x")
    assert Others(str(tmp_path)).pids() == set()
    assert Others(str(tmp_path / "warden.1")).pids() == set()


def test_one_whose_directory_was_taken_away_finds_nobody(tmp_path: Path) -> None:
    assert Others(str(tmp_path / "gone")).pids() == set()


def test_who_asks_keeps_its_own_lock(tmp_path: Path) -> None:
    asking = LOCKED.replace(
        "print(",
        "from torcd.executors.warden.others import Others\nOthers(sys.argv[2]).pids()\nprint(",
    )
    with subprocess.Popen(
        [sys.executable, "-c", asking, str(tmp_path / "warden.lock"), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert launching.warden_lives(tmp_path)
