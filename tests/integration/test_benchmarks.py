"""The benchmark suite does what it says, at sizes at which it says nothing about speed."""

import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench import native, report
from bench.figures import Figure, Skipped, at_least, at_most, figure, ratio
from bench.peers import redis
from bench.suite import ROWS, Outcome

REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "bench", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=55,
    )


@pytest.mark.parametrize("row", ROWS)
def test_each_benchmark_runs_and_holds_its_figures_against_a_target(
    row: str, tmp_path: Path
) -> None:
    file = tmp_path / "result.json"
    done = run(row, "--quick", "--peers", "make,xargs", "--json", str(file))
    assert done.returncode == 0, done.stderr
    (outcome,) = report.read(file).outcomes
    if row in ("store", "fetch") and redis.version() is None:
        assert [each.what for each in outcome.skipped] == ["Redis"]
        pytest.skip("there is no Redis")
    assert not outcome.skipped
    assert {each.row for each in outcome.figures} == {row}
    assert any(each.target is not None for each in outcome.figures)
    for each in outcome.figures:
        assert len(each.rounds) == 1
        assert each.what in done.stdout
    if row == "flat":
        whats = {each.what for each in outcome.figures}
        assert {"times as fast as make", "times as fast as xargs"} <= whats


def test_an_unknown_row_is_named_with_those_there_are() -> None:
    done = run("flut")
    assert done.returncode == 2
    assert "there is no 'flut'; there are flat, " in done.stderr


def test_a_program_that_fails_is_no_measurement() -> None:
    with pytest.raises(AssertionError, match="3 of 3 times /bin/false failed"):
        native.limit_seconds(3, 2, "/bin/false")
    assert native.limit_seconds(3, 2, "/bin/true") > 0


def test_a_reply_that_is_not_the_expected_one_is_no_measurement(tmp_path: Path) -> None:
    if redis.version() is None:
        pytest.skip("there is no Redis")
    with redis.server(tmp_path) as socket:
        asked = native.ask(
            socket, b"PING\r\n", connections=3, seconds=0.05, ending=b"\n", prefix="+PONG"
        )
        assert asked.replies >= 3
        with pytest.raises(AssertionError, match="unknown command 'PANG'"):
            native.ask(
                socket, b"PANG\r\n", connections=3, seconds=0.05, ending=b"\n", prefix="+PONG"
            )


def test_a_figure_is_the_median_of_its_rounds() -> None:
    found = ratio("r", "w", ("a s", [1.0, 2.0, 30.0]), ("b s", [1.0, 1.0, 10.0]))
    assert found.rounds == [1.0, 2.0, 3.0]
    assert found.figure == 2.0
    assert found.measured == {"a s": [1.0, 2.0, 30.0], "b s": [1.0, 1.0, 10.0]}
    assert found.met is None


@pytest.mark.parametrize(
    ("target", "below", "at", "above"),
    [(at_least(0.75), False, True, True), (at_most(0.75), True, True, False)],
)
def test_a_target_is_met_on_its_side(target: object, below: bool, at: bool, above: bool) -> None:
    met = [figure("r", "w", [value], target=target).met for value in (0.74, 0.75, 0.76)]  # type: ignore[arg-type]
    assert met == [below, at, above]


def test_the_table_says_what_was_met_and_what_was_left_out() -> None:
    figures: list[Figure] = [
        figure("flat", "of the limit", [0.5, 0.6, 0.9], target=at_least(0.75)),
        figure("flat", "memory", [123.4], unit="MiB"),
    ]
    outcome = Outcome(
        row="flat",
        figures=figures,
        skipped=[Skipped("flat", "slow", "not done after 5 s")],
        load_before=0.25,
        load_after=2.0,
    )
    assert report.table([outcome], [Skipped("", "absent", "it is not installed")]) == (
        "| row  | what         | figure  | rounds         | target | met | load     |\n"
        "| ---- | ------------ | ------- | -------------- | ------ | --- | -------- |\n"
        "| flat | of the limit | 0.6     | 0.5 to 0.9 (3) | ≥ 0.75 | NO  | 0.2, 2.0 |\n"
        "| flat | memory       | 123 MiB | 123 to 123 (1) |        |     | 0.2, 2.0 |\n"
        "left out: absent: it is not installed\n"
        "left out: flat slow: not done after 5 s"
    )
    assert msgspec.json.decode(msgspec.json.encode(outcome), type=Outcome) == outcome
