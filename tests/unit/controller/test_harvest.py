"""TORC_OUTPUT, whatever a job has made of it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from torcd.controller import harvest
from torcd.controller.harvest import Expected, remove
from torcd.model import DataKey
from torcd.validation import Checker


def lines(count: int) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(b"v=1\n" * count)


def collect(path: Path) -> harvest.Outputs:
    expected = Expected(
        output_path=str(path),
        data={"v": DataKey(1), "whole": DataKey(2)},
        schemas={DataKey(2): b'{"type": "integer"}'},
        files=(),
        reads=None,
    )
    with Checker() as checker:
        return harvest.harvest(expected, (), 1000, checker)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: path.mkdir(), "not a regular file"),
        (lambda path: os.mkfifo(path), "not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "symbolic link"),
        (lambda path: path.symlink_to("/nowhere"), "symbolic link"),
        (lambda path: (path.touch(), os.truncate(path, 10**12)), "bytes"),
        (lambda path: path.write_bytes(b"\xff\xfe=1"), "line 1"),
        (lambda path: path.write_bytes(b"\0" * 1000), "line 1"),
        (lambda path: path.write_bytes(b"v=" + b"[" * 100_000), "line 1"),
        (lambda path: path.write_bytes(b'v="\\ud800"'), "line 1"),
        (lambda path: path.write_bytes(b"v=1\nv=NaN"), "line 2"),
        (lines(harvest.MAX_OUTPUT_LINES + 1), "lines"),
        (
            lambda path: path.write_bytes(b"v=1\nwhole=1\nwhole=1.5\n"),
            "TORC_OUTPUT, line 3: the value of 'whole' does not fit its schema: "
            "data: expected integer, not number",
        ),
    ],
)
def test_what_is_no_list_of_values_is_a_problem_of_the_job_and_leaves_nothing_open(
    tmp_path: Path, make: Callable[[Path], object], problem: str
) -> None:
    path = tmp_path / "output"
    make(path)
    before = os.listdir("/proc/self/fd")
    outputs = collect(path)
    assert outputs.problem is not None
    assert problem in outputs.problem
    assert outputs.values == ()
    assert os.listdir("/proc/self/fd") == before


def test_as_many_lines_as_are_allowed_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "output"
    lines(harvest.MAX_OUTPUT_LINES)(path)
    assert len(collect(path).values) == harvest.MAX_OUTPUT_LINES


def test_a_directory_in_the_place_of_a_file_goes_with_the_attempt(tmp_path: Path) -> None:
    directory, full = tmp_path / "1.output", tmp_path / "2.output"
    directory.mkdir()
    full.mkdir()
    (full / "f").touch()
    remove([str(directory), str(full), str(tmp_path / "nothing")])
    assert os.listdir(tmp_path) == ["2.output"]
