"""What dependencies cost: workflows that have them against as many jobs without, or with fewer."""

from collections.abc import Iterator
from typing import Any

from bench import ours, shapes
from bench.figures import Figure, Skipped, at_least, at_most, ratio
from bench.rows.spawning import COMMAND
from bench.run import Run


def layers(run: Run) -> Iterator[Figure | Skipped]:
    jobs, width = run.size(10_000, 60), run.size(100, 10)
    yield from _against_flat(run, "layers", shapes.layers(jobs, width, parents=2))


def fan(run: Run) -> Iterator[Figure | Skipped]:
    yield from _against_flat(run, "fan", shapes.fan(run.size(10_000, 60) + 2))


def barriers(run: Run) -> Iterator[Figure | Skipped]:
    """Three stages, each of which waits for the whole one before."""
    width = run.size(1_000, 20)
    free = ours.spec_file(run, _stages(width, are_apart=False))
    apart = ours.spec_file(run, _stages(width, are_apart=True))
    without, with_barriers = [], []
    for _ in run.each_round():
        before = ours.seconds_for(run, free)
        with_barriers.append(ours.seconds_for(run, apart))
        without.append((before + ours.seconds_for(run, free)) / 2)
    yield ratio(
        "barriers",
        f"two of {width} by {width}: times the time without",
        ("with barriers s", with_barriers),
        ("without barriers s", without),
        target=at_most(1.2),
    )


def _stages(width: int, *, are_apart: bool) -> dict[str, Any]:
    jobs: list[dict[str, Any]] = []
    for stage in range(3):
        for number in range(width):
            job: dict[str, Any] = {"name": f"s{stage}_{number}", "command": COMMAND}
            if stage and are_apart:
                job["depends_on_regexes"] = [f"^s{stage - 1}_"]
            jobs.append(job)
    return {"jobs": jobs}


def _against_flat(run: Run, row: str, graph: shapes.Graph) -> Iterator[Figure | Skipped]:
    flat = ours.spec_file(run, shapes.workflow(shapes.flat(len(graph)), COMMAND))
    shaped = ours.spec_file(run, shapes.workflow(graph, COMMAND))
    without, with_edges = [], []
    for number in range(run.rounds):
        run.say(f"round {number + 1} of {run.rounds}")
        before = ours.seconds_for(run, flat)
        with_edges.append(ours.seconds_for(run, shaped))
        without.append((before + ours.seconds_for(run, flat)) / 2)
    yield ratio(
        row,
        f"of our own flat figure ({shapes.edges(graph)} edges)",
        ("flat s", without),
        (f"{row} s", with_edges),
        target=at_least(0.90),
    )
