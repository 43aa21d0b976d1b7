"""What a benchmark has found: figures, each with what was measured for it in every round."""

import statistics
from collections.abc import Sequence
from typing import Literal

import msgspec


class Target(msgspec.Struct, frozen=True):
    """What a figure should be."""

    bound: float
    direction: Literal["at least", "at most"]

    def is_met_by(self, figure: float) -> bool:
        return figure >= self.bound if self.direction == "at least" else figure <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.direction == 'at least' else '≤'} {self.bound:g}"


def at_least(bound: float) -> Target:
    return Target(bound, "at least")


def at_most(bound: float) -> Target:
    return Target(bound, "at most")


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """`figure` is the median of `rounds`. `measured` has what the rounds were computed from, by
    name and unit: what counts are the figures, since those are the same on a slower machine."""

    row: str
    what: str
    figure: float
    unit: str
    target: Target | None
    met: bool | None
    """None: there is no target."""
    rounds: list[float]
    measured: dict[str, list[float]]


class Skipped(msgspec.Struct, frozen=True):
    """Something that could not be measured here, and why."""

    row: str
    what: str
    reason: str


def figure(
    row: str,
    what: str,
    rounds: Sequence[float],
    *,
    unit: str = "",
    target: Target | None = None,
    measured: dict[str, list[float]] | None = None,
) -> Figure:
    """The median of the rounds, held against its target. `unit` is empty for a ratio."""
    median = statistics.median(rounds)
    return Figure(
        row=row,
        what=what,
        figure=median,
        unit=unit,
        target=target,
        met=None if target is None else target.is_met_by(median),
        rounds=list(rounds),
        measured=measured or {},
    )


def ratio(
    row: str,
    what: str,
    above: tuple[str, Sequence[float]],
    below: tuple[str, Sequence[float]],
    *,
    target: Target | None = None,
) -> Figure:
    """The median of the rounds' ratios; `above` and `below` are the name of what was measured, with
    its unit, and the measure of each round."""
    return figure(
        row,
        what,
        [a / b for a, b in zip(above[1], below[1], strict=True)],
        target=target,
        measured={above[0]: list(above[1]), below[0]: list(below[1])},
    )
