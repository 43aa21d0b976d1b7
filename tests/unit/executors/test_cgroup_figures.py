"""What a cgroup tells, and how it gets into a final line."""

import json
from pathlib import Path

import pytest

from torcd.executors.base import Exited
from torcd.executors.local import messages
from torcd.executors.warden import cgroups, ledger
from torcd.model import AttemptKey, Timestamp


def write(directory: Path, **files: str) -> str:
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)
    return str(directory)


def test_all_figures_are_read_where_there_is_a_memory_controller(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        cpu__stat="usage_usec 1500000\nuser_usec 1\nsystem_usec 2\n",
        memory__peak="4096\n",
        memory__events="low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 0\n",
    )
    assert cgroups.usage(path) == (1.5, 4096, 2)


def test_without_it_memory_is_not_told(tmp_path: Path) -> None:
    assert cgroups.usage(write(tmp_path, cpu__stat="usage_usec 7\n")) == (7e-06, None, 0)
    assert cgroups.usage(str(tmp_path / "gone")) == (None, None, 0)


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ((2.5, 4096, 1), (2.5, 4096, 1)),
        ((2.5, None, 0), (2.5, 1000, 0)),
        ((None, None, 0), (0.5, 1000, 0)),
    ],
)
def test_a_final_line_has_the_better_figures(
    usage: tuple[float | None, int | None, int], told: tuple[float, int, int]
) -> None:
    line = ledger.with_usage(ledger.exited(1, -9, 77, 0.5, 1000), *usage)
    [report] = messages.decode(b'{"reports":[' + line.encode() + b"]}").reports
    assert report == Exited(AttemptKey(1), -9, Timestamp(77), *told)


def test_other_final_lines_stay_as_they_are() -> None:
    line = ledger.lost(1, "nobody knows", 77)
    assert ledger.with_usage(line, 1.0, 2, 3) == line
    assert json.loads(line)[0] == "lost"
