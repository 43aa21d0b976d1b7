"""What runs in the jobs that `map_function` makes."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from torcd.client import mapped
from torcd.errors import TooLarge
from torcd.json_text import to_json

MODULE = """
import sys
from collections import namedtuple
def double(number): return number * 2
def named(job, number): return [job, number]
def nothing(number): pass
def leaves(number): sys.exit(7)
def fails(number): return step(number)
def step(number): raise ValueError(f"no {number}")
def unsayable(number): return {"a": [float("nan")]}
def huge(number): return "x" * 100
def total(results): return sum(results)
"""


class AJob:
    """In place of one of a daemon: has inputs, and keeps what it is told to store."""

    def __init__(self, name: str, inputs: dict[str, Any]) -> None:
        self.name = name
        self.inputs = inputs
        self.stored: dict[str, Any] = {}

    def store(self, name: str, value: Any) -> None:
        if len(bytes(to_json(value, name=name))) > 64:
            raise TooLarge(f"the value of {name!r} has 102 bytes, and 64 are allowed")
        self.stored[name] = value


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "torcd_mapped_module.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield str(tmp_path)
    sys.modules.pop("torcd_mapped_module", None)


def runs(monkeypatch: pytest.MonkeyPatch, job: AJob, *words: str) -> int:
    monkeypatch.setattr(mapped, "current_job", lambda: job)
    return mapped.main(words)


@pytest.mark.parametrize(
    ("function", "result"), [("double", 10), ("named", ["run_1", 5]), ("nothing", None)]
)
def test_a_function_is_called_with_the_input_and_what_it_returns_is_stored(
    directory: str, monkeypatch: pytest.MonkeyPatch, function: str, result: object
) -> None:
    job = AJob("run_1", {"other": 1, "input_run_1": 5})
    assert runs(monkeypatch, job, "call", directory, f"torcd_mapped_module:{function}") == 0
    assert job.stored == {"output_run_1": result}


def test_results_are_gathered_in_the_order_of_their_numbers(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {f"output_run_{n}": n for n in (10, 9, 11, 12)}
    job = AJob("end", given)
    words = ("gather", directory, "torcd_mapped_module:total", "run_", "9", "3")
    assert runs(monkeypatch, job, *words) == 0
    assert job.stored == {"end_result": 30}


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("fails", "ValueError: no 5"),
        ("unsayable", "torcd: torcd_mapped_module:unsayable returned what is not JSON: a[0]: nan"),
        ("huge", "torcd: the value of 'output_run_1' has 102 bytes"),
        ("absent", "torcd: torcd_mapped_module:absent cannot be a job: "),
    ],
)
def test_what_goes_wrong_is_told_and_nothing_is_stored(
    directory: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    function: str,
    said: str,
) -> None:
    job = AJob("run_1", {"input_run_1": 5})
    assert runs(monkeypatch, job, "call", directory, f"torcd_mapped_module:{function}") == 1
    assert said in capsys.readouterr().err
    assert job.stored == {}


def test_a_traceback_begins_with_the_function(
    directory: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = AJob("run_1", {"input_run_1": 5})
    runs(monkeypatch, job, "call", directory, "torcd_mapped_module:fails")
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert first == "Traceback (most recent call last):"
    assert second.endswith('torcd_mapped_module.py", line 8, in fails')


def test_a_function_may_leave_with_a_code_of_its_own(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = AJob("run_1", {"input_run_1": 5})
    with pytest.raises(SystemExit) as left:
        runs(monkeypatch, job, "call", directory, "torcd_mapped_module:leaves")
    assert left.value.code == 7


def test_an_input_that_is_not_there_is_told(
    directory: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("gather", directory, "torcd_mapped_module:total", "run_", "1", "2")
    assert runs(monkeypatch, AJob("end", {"output_run_1": 1}), *words) == 1
    assert capsys.readouterr().err.startswith("torcd: 'output_run_2' has no value")


def test_outside_a_job_and_with_wrong_words_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TORC_SOCKET", raising=False)
    assert mapped.main(["call", "/", "json:dumps"]) == 1
    assert "not in a job" in capsys.readouterr().err
    assert mapped.main(["call"]) == 2
    assert "python -m torcd.client.mapped call DIRECTORY" in capsys.readouterr().err
