"""A large workflow: submitting it, running it, and what it weighs in the daemon's memory."""

from collections.abc import Iterator

from bench import ours, shapes
from bench.figures import Figure, Skipped, at_least, at_most, figure, ratio
from bench.rows.spawning import COMMAND
from bench.run import Run

WIDTH = 100
PARENTS = 3


def large(run: Run) -> Iterator[Figure | Skipped]:
    many, few = run.size(100_000, 400), run.size(10_000, 200)
    graph, small = (shapes.layers(jobs, WIDTH, PARENTS) for jobs in (many, few))
    large_spec, small_spec = (
        ours.spec_file(run, shapes.workflow(each, COMMAND)) for each in (graph, small)
    )
    submits, small_submits, per_job, small_per_job = [], [], [], []
    grown, at_end = [], []
    for number in range(run.rounds):
        run.say(f"round {number + 1} of {run.rounds}")
        with ours.daemon(run) as daemon:
            went = ours.go(run, daemon, small_spec)
            small_submits.append(went.submitted_seconds / few)
            small_per_job.append(went.seconds / few)
        with ours.daemon(run) as daemon:
            went = ours.go(run, daemon, large_spec)
            submits.append(went.submitted_seconds)
            per_job.append(went.seconds / many)
            grown.append((went.kib_submitted - went.kib_before) / many)
            at_end.append((went.kib_over - went.kib_before) / many)
    what = f"{many} jobs, {shapes.edges(graph)} edges"
    yield figure(
        "large",
        f"submit of {what}",
        submits,
        unit="s",
        target=at_most(10),
        measured={"torcctl submit s": submits},
    )
    yield ratio(
        "large",
        f"submit of a job, of {many} against of {few}",
        (f"of {many} s", [seconds / many for seconds in submits]),
        (f"of {few} s", small_submits),
    )
    yield ratio(
        "large",
        f"throughput, against that of {few}",
        (f"a job of {few} s", small_per_job),
        (f"a job of {many} s", per_job),
        target=at_least(0.90),
    )
    yield figure(
        "large",
        "memory for a job, when submitted",
        grown,
        unit="KiB",
        target=at_most(1.5),
        measured={"resident KiB a job": grown},
    )
    yield figure(
        "large",
        "the same when it is over",
        at_end,
        unit="KiB",
        target=at_most(1.5),
        measured={"resident KiB a job": at_end},
    )
