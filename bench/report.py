"""What is told in the end: a table for people, JSON for programs.

python -m bench.report FILE...   the table of what was measured before, of several runs as one
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.figures import Figure, Skipped
from bench.machine import Machine
from bench.suite import ROWS, Outcome


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A run of the suite, whole. `missing` are peers that could not be had at all."""

    began_at: str
    machine: Machine
    rounds: int
    is_quick: bool
    at_once: int
    logs_on_disk: bool
    missing: list[Skipped]
    outcomes: list[Outcome]


def read(path: Path) -> Report:
    return msgspec.json.decode(path.read_bytes(), type=Report)


def write(report: Report, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(report), indent=1)
    path.write_bytes(text + b"\n")


HEAD = ("row", "what", "figure", "rounds", "target", "met", "load")


def table(outcomes: Sequence[Outcome], missing: Sequence[Skipped]) -> str:
    """A table in Markdown's form, and what was left out."""
    lines = [HEAD, *(_line(each, one) for one in outcomes for each in one.figures)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    lines.insert(1, tuple("-" * width for width in widths))
    rows = (
        "| "
        + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )
    left_out = [*missing, *(each for one in outcomes for each in one.skipped)]
    words = (f"left out: {each.row} {each.what}: {each.reason}" for each in left_out)
    return "\n".join([*rows, *(" ".join(line.split()) for line in words)])


def _line(figure: Figure, outcome: Outcome) -> tuple[str, ...]:
    return (
        figure.row,
        figure.what,
        f"{_number(figure.figure)} {figure.unit}".strip(),
        f"{_number(min(figure.rounds))} to {_number(max(figure.rounds))} ({len(figure.rounds)})",
        "" if figure.target is None else str(figure.target),
        {None: "", True: "yes", False: "NO"}[figure.met],
        f"{outcome.load_before:.1f}, {outcome.load_after:.1f}",
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    reports = [read(Path(word)) for word in sys.argv[1:]]
    found = [one for report in reports for one in report.outcomes]
    print(table(sorted(found, key=lambda one: list(ROWS).index(one.row)), ()))
