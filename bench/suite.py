"""All benchmarks by name, in the order in which they are run."""

import msgspec

from bench import machine
from bench.figures import Figure, Skipped
from bench.rows import (
    commands,
    depending,
    idling,
    large,
    large_value,
    latency,
    spawning,
    starting,
    values,
    watching,
)
from bench.run import Row, Run

ROWS: dict[str, Row] = {
    "flat": spawning.flat,
    "shell": spawning.shell,
    "chain": spawning.chain,
    "layers": depending.layers,
    "fan": depending.fan,
    "barriers": depending.barriers,
    "large": large.large,
    "store": values.store,
    "fetch": values.fetch,
    "large-value": large_value.large_value,
    "latency": latency.latency,
    "commands": commands.commands,
    "start": starting.start,
    "idle": idling.idle,
    "watchers": watching.watchers,
}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a row has found, and the load of the machine before and after it."""

    row: str
    figures: list[Figure]
    skipped: list[Skipped]
    load_before: float
    load_after: float


def outcome(name: str, run: Run) -> Outcome:
    """Measure a row."""
    before = machine.load()
    found = list(ROWS[name](run))
    return Outcome(
        row=name,
        figures=[each for each in found if isinstance(each, Figure)],
        skipped=[each for each in found if isinstance(each, Skipped)],
        load_before=before,
        load_after=machine.load(),
    )
