"""How fast jobs go through: against a C loop that does nothing but spawn, and against peers.

The limit is measured right before and right after ours, and the mean counts. It captures nothing,
writes nothing down and knows no dependencies. Ours captures output and error of each job, and is
over when every result is on disk.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench import bare, native, ours, shapes
from bench.figures import Figure, Skipped, Target, at_least, ratio
from bench.peers import Peer, Task
from bench.run import Run
from bench.shapes import Graph

COMMAND = "/bin/true"

SHELL_COMMAND = "true && true"
"""bash does it all by itself: no other program is spawned."""

SLOW_SECONDS = 60.0
"""A peer that takes longer than this is measured once: by then it is clear who is faster. One that
is given up counts with the time that it was given."""


def flat(run: Run) -> Iterator[Figure | Skipped]:
    yield from _against_all(run, "flat", shapes.flat(run.size(10_000, 60)), run.at_once, 0.75)


def chain(run: Run) -> Iterator[Figure | Skipped]:
    yield from _against_all(run, "chain", shapes.chain(run.size(1_000, 20)), 1, 0.60)


def shell(run: Run) -> Iterator[Figure | Skipped]:
    graph = shapes.flat(run.size(10_000, 60))
    spec = ours.spec_file(run, shapes.workflow(graph, SHELL_COMMAND))
    command = ("/bin/bash", "-c", SHELL_COMMAND)
    measured = [_measured(run, spec, len(graph), run.at_once, command) for _ in run.each_round()]
    yield from _of_the_limit("shell", "of the limit with bash -c", measured, at_least(0.75))


def _against_all(
    run: Run, row: str, graph: Graph, at_once: int, bound: float
) -> Iterator[Figure | Skipped]:
    spec = ours.spec_file(run, shapes.workflow(graph, COMMAND))
    measured: list[Measured] = []
    times: dict[str, list[float]] = {peer.name: [] for peer in run.peers}
    unfinished: set[str] = set()
    for number in run.each_round():
        measured.append(_measured(run, spec, len(graph), at_once, (COMMAND,)))
        for peer in run.peers:
            so_far = times[peer.name]
            if number and (not so_far or so_far[-1] > SLOW_SECONDS):
                continue
            try:
                seconds = _peer_seconds(run, peer, graph)
            except subprocess.TimeoutExpired:
                unfinished.add(peer.name)
                seconds = run.peer_seconds
            if seconds is not None:
                so_far.append(seconds)
    yield from _of_the_limit(row, "of the limit", measured, at_least(bound))
    mine = [each.mine for each in measured]
    for peer in run.peers:
        if found := times[peer.name]:
            yield ratio(
                row,
                f"times as fast as {peer.name}{', or more' * (peer.name in unfinished)}",
                (f"{peer.name} s", found),
                ("torcd s", mine[: len(found)]),
                target=at_least(1.0) if row == "flat" and peer.is_to_be_beaten else None,
            )


class Measured(msgspec.Struct, frozen=True):
    """Seconds of one round."""

    limit: float
    mine: float
    warden: float
    """Of the least warden in Python (`bench/bare_warden.py`)."""
    runner: float
    """Of the least job runner in Python (`bench/bare_runner.py`)."""


def _measured(run: Run, spec: Path, jobs: int, at_once: int, command: tuple[str, ...]) -> Measured:
    before = native.limit_seconds(jobs, at_once, *command)
    mine = ours.seconds_for(run, spec, at_once=at_once)
    after = native.limit_seconds(jobs, at_once, *command)
    warden = bare.warden_seconds(_logs(run), jobs, at_once, *command)
    database = run.fresh("bare") / "bare.db"
    runner = bare.runner_seconds(_logs(run), database, jobs, at_once, *command)
    return Measured((before + after) / 2, mine, warden, runner)


def _logs(run: Run) -> Path:
    """A new directory where torcd's logs are, too."""
    directory = run.fresh("bare")
    if run.logs is not None:
        directory = run.logs / directory.name
        directory.mkdir()
    return directory


def _of_the_limit(
    row: str, what: str, measured: list[Measured], target: Target
) -> Iterator[Figure]:
    limits = ("limit s", [each.limit for each in measured])
    yield ratio(row, what, limits, ("torcd s", [each.mine for each in measured]), target=target)
    for name, seconds in (
        ("warden", [each.warden for each in measured]),
        ("job runner", [each.runner for each in measured]),
    ):
        yield ratio(row, f"a bare {name} in Python, {what}", limits, (f"bare {name} s", seconds))


def _peer_seconds(run: Run, peer: Peer, graph: Graph) -> float | None:
    run.say(peer.name)
    return peer.run(
        Task(
            graph=graph,
            command=COMMAND,
            at_once=run.at_once,
            directory=run.fresh(peer.name),
            seconds=run.peer_seconds,
        )
    )
