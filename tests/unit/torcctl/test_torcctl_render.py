"""Structs to text."""

import contextlib
import io
import os
import pty
import sys

import pytest

from tests.unit.torcctl.canned_daemon import job, workflow
from torcctl.render import amounts, table
from torcctl.render.columns import JOBS, RECORDS
from torcctl.render.progress import MAX_FAILURES, Failure, progress, summary, tail
from torcctl.render.standing import counts
from torcctl.render.table import Column
from torcctl.render.text import clean, clean_lines

PAIR: list[Column[tuple[str, int | None]]] = [
    Column("NAME", lambda row: row[0]),
    Column("N", lambda row: row[1], right=True),
]


def test_text_is_left_alone_unless_it_cannot_be_seen() -> None:
    assert clean("Ünïcode ✓ 日本") == "Ünïcode ✓ 日本"
    assert clean("a\x1b[0m\x07\x9b\u202eb\udcff\n") == "a\\x1b[0m\\x07\\x9b\\u202eb\\udcff\\n"
    assert clean_lines("a\tb\nc\r") == "a       b\nc\\r"


def test_a_plain_table_is_aligned_and_has_a_mark_for_nothing() -> None:
    rows = [("a", 100), ("long name", None), ("", 0)]
    assert (
        table.plain(PAIR, rows)
        == "NAME         N\na          100\nlong name    -\n-            0\n"
    )


def test_a_table_for_a_terminal_has_colour_only_where_it_is_wanted() -> None:
    rows = [job("a", "failed", key="8"), job("[red]b[/red]", key="9")]
    coloured = table.on_terminal(JOBS, rows, width=100, color=True)
    assert "\x1b[31mfailed" in coloured
    plain = table.on_terminal(JOBS, rows, width=100, color=False)
    assert "\x1b" not in plain
    assert "[red]b[/red]" in plain


def test_a_terminal_shows_the_beginning_of_a_long_value_and_all_of_a_long_name() -> None:
    from tests.unit.torcctl.canned_daemon import record

    rows = [record('"' + "v" * 500 + '"', name="n" * 120).record]
    shown = table.on_terminal(RECORDS, rows, width=80, color=False)
    assert shown.replace("\n", "").count("n") >= 120
    assert shown.count("v") < 100
    assert "…" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "v" * 500 in table.plain(RECORDS, rows)


def test_a_name_without_end_does_not_flood_a_terminal() -> None:
    rows = [job("n" * 200_000)]
    shown = table.on_terminal(JOBS, rows, width=80, color=False)
    assert 900 < shown.count("n") <= table.MAX_ON_TERMINAL + 100
    assert "n" * 200_000 in table.plain(JOBS, rows)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0s"), (1.25, "1.2s"), (9.99, "10.0s"), (59.9, "59s"), (65, "1m05s"),
     (3600 * 3 + 120, "3h02m"), (86400 * 2 + 3600 * 3, "2d03h"), (None, None), (-1, "0.0s")],
)  # fmt: skip
def test_durations(seconds: float | None, text: str | None) -> None:
    assert amounts.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1536, "1.5KiB"),
        (12 << 20, "12MiB"),
        (3 << 40, "3.0TiB"),
        (None, None),
    ],
)
def test_sizes(count: int | None, text: str | None) -> None:
    assert amounts.size(count) == text


def test_times_are_shown_to_the_second() -> None:
    assert amounts.moment("2026-01-31T12:00:00.000001Z") == "2026-01-31T12:00:00Z"
    assert amounts.moment("2026-01-31T12:00:00Z") == "2026-01-31T12:00:00Z"


def test_the_progress_line_leaves_out_what_there_is_none_of() -> None:
    info = workflow(jobs={"completed": 3, "disabled": 1, "running": 1, "pending": 1, "failed": 2})
    assert counts(info) == "4 of 8 done, 2 running, 2 failed"
    assert progress(info, 65.9) == f"workflow 7 diamond: {counts(info)}, 1m05s"
    paused = workflow("paused", name="a\nb")
    assert progress(paused, 0).startswith("workflow 7 a\\nb paused: ")


def test_the_summary_tells_about_some_failures_and_counts_the_rest() -> None:
    info = workflow("failed", jobs={"failed": 12})
    failures = [
        Failure(
            job(f"j{n}", "failed", reason="signal", message="killed by signal 9"), ["last words"]
        )
        for n in range(MAX_FAILURES)
    ]
    lines = summary(info, failures, 12).splitlines()
    assert lines[1:4] == ["  j0 failed (signal)", "    killed by signal 9", "    | last words"]
    assert lines[-2] == "  … and 2 more"
    assert "torcctl -k 7 results" in lines[-1]
    assert len(summary(workflow("completed"), [], 0).splitlines()) == 1


def test_the_tail_of_a_log_is_its_last_lines_fit_for_a_terminal() -> None:
    assert tail(b"") == []
    assert tail(b"one\r\n\n\x1b[31mtwo\xff") == ["one", "\\x1b[31mtwo�"]
    assert tail(b"".join(b"%d\n" % n for n in range(50)))[0] == "40"


def test_the_progress_line_is_drawn_over_itself_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torcctl.progress import ProgressLine

    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    with io.TextIOWrapper(os.fdopen(theirs, "wb", buffering=0), write_through=True) as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with ProgressLine(quiet=False) as line:
            line.show(workflow(jobs={"running": 1}))
            line.say("failed: a")
        monkeypatch.undo()
    seen = ""
    with contextlib.suppress(OSError):  # EIO is the end: nobody has the terminal any more
        while True:
            seen += os.read(ours, 4096).decode()
    os.close(ours)
    drawn = "\r\x1b[Kworkflow 7 diamond: 0 of 1 done, 1 runn"
    assert seen == f"{drawn}\r\x1b[Kfailed: a\r\n{drawn}\r\x1b[K"


def test_quiet_draws_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    from torcctl.progress import ProgressLine

    with ProgressLine(quiet=True) as line:
        line.show(workflow())
        line.say("failed: a")
    assert capsys.readouterr().err == ""
