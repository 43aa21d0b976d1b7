"""How soon what follows is started: after a value was stored, and after a job has ended.

The jobs are a small C program that notes the time at which it runs (`bench/native/stamp.c`). What a
plain spawn takes, from before vfork until that program runs, is subtracted: its median, from
the median and from the 99th percentile.

After a store: a job stores values one by one, each `on_store`, and waits after each until the
consumer has run; it counts from the moment at which the acknowledgement is there. After an exit: a
chain; it counts from when one job runs until the next one does, so what the first takes to end is
in it.
"""

import os
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from bench import machine, native, ours
from bench.figures import Figure, Skipped, at_most, figure
from bench.run import Run

PRODUCER = Path(__file__).parents[1] / "producer.py"

P50 = at_most(2.0)
P99 = at_most(10.0)


def latency(run: Run) -> Iterator[Figure | Skipped]:
    count = run.size(500, 20)
    plain, stored, exited, synced = [], [], [], []
    for _ in run.each_round():
        plain.append(_plain_spawns(run, count))
        stored.append(_after_stores(run, count))
        exited.append(_after_exits(run, count))
        synced.append(machine.fsync_seconds(run.fresh("fsync")) * 1e3)
    base = [_percentile(spawns, 50) for spawns in plain]
    for what, found in (("a store", stored), ("an exit", exited), ("a plain spawn", plain)):
        for percent, target in ((50, P50), (99, P99)):
            measured = [_percentile(each, percent) for each in found]
            if found is not plain or percent > 50:
                yield figure(
                    "latency",
                    f"{what}, then the start: p{percent}, over a plain spawn",
                    [ms - usual for ms, usual in zip(measured, base, strict=True)],
                    unit="ms",
                    target=None if found is plain else target,
                    measured={f"{what}, p{percent} ms": measured, "plain spawn, p50 ms": base},
                )
    yield figure("latency", "an fsync, which is between an end and what follows", synced, unit="ms")


def _percentile(milliseconds: Sequence[float], percent: int) -> float:
    return statistics.quantiles(milliseconds, n=100, method="inclusive")[percent - 1]


def _plain_spawns(run: Run, count: int) -> list[float]:
    file = run.fresh("stamps") / "plain"
    subprocess.run([native.program("stamp"), "spawn", file, str(count)], check=True)
    times = native.stamps(file)
    assert len(times) == 2 * count
    return [(ran - begun) * 1e3 for begun, ran in zip(times[::2], times[1::2], strict=True)]


def _after_exits(run: Run, count: int) -> list[float]:
    file = run.fresh("stamps") / "chain"
    jobs: list[dict[str, object]] = []
    for slot in range(count + 1):
        job: dict[str, object] = {
            "name": f"j{slot}",
            "command": f"{native.program('stamp')} write {file} {slot}",
        }
        jobs.append(job | {"depends_on": [f"j{slot - 1}"]} if slot else job)
    with ours.daemon(run) as daemon:
        ours.go(run, daemon, ours.spec_file(run, {"jobs": jobs}))
    times = native.stamps(file)
    assert len(times) == count + 1
    return [(after - before) * 1e3 for before, after in pairwise(times)]


def _after_stores(run: Run, count: int) -> list[float]:
    directory = run.fresh("stamps")
    acknowledged, started, pipe = directory / "stored", directory / "started", directory / "pipe"
    os.mkfifo(pipe)
    values = [f"v{slot}" for slot in range(count)]
    stamp = native.program("stamp")
    consumers = [
        {
            "name": f"c{slot}",
            "command": f"{stamp} write {started} {slot} {pipe}",
            "input_user_data": [value],
        }
        for slot, value in enumerate(values)
    ]
    producer = {
        "name": "producer",
        "command": f"{ours.PYTHON} {PRODUCER} {acknowledged} {pipe} {count}",
        "output_user_data": values,
    }
    spec = {
        "jobs": [producer, *consumers],
        "user_data": [{"name": value, "available": "on_store"} for value in values],
    }
    with ours.daemon(run) as daemon:
        # One place for the producer, and one for a consumer.
        ours.go(run, daemon, ours.spec_file(run, spec), at_once=2)
    pairs = zip(native.stamps(acknowledged), native.stamps(started), strict=True)
    return [(ran - known) * 1e3 for known, ran in pairs]
