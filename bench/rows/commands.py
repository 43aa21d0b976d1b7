"""How long a person or a job script waits for torcctl, against the Python that it runs in."""

from collections.abc import Iterator

from bench import native, ours
from bench.figures import Figure, Skipped, Target, at_most, ratio
from bench.run import Run

COMMANDS: dict[str, tuple[tuple[str, ...], Target]] = {
    "torcctl data get": (("data", "get", "v"), at_most(2.0)),
    "torcctl status": (("status",), at_most(6.0)),
    "torcctl --help": (("--help",), at_most(6.0)),
}


def commands(run: Run) -> Iterator[Figure | Skipped]:
    count = run.size(20, 2)
    python: list[float] = []
    took: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with ours.daemon(run) as daemon:
        ours.go(run, daemon, ours.spec_file(run, SPEC))

        def seconds(*words: str) -> float:
            return native.limit_seconds(count, 1, *words, environment=daemon.environment) / count

        for _ in run.each_round():
            before = seconds(str(ours.PYTHON), "-c", "pass")
            for name, (words, _) in COMMANDS.items():
                took[name].append(seconds(str(ours.TORCCTL), *words))
            python.append((before + seconds(str(ours.PYTHON), "-c", "pass")) / 2)
    for name, (_, target) in COMMANDS.items():
        yield ratio(
            "commands",
            f"{name}, times python -c pass",
            (f"{name} s", took[name]),
            ("python -c pass s", python),
            target=target,
        )


SPEC = {
    "jobs": [{"command": "/bin/true", "input_user_data": ["v"]}],
    "user_data": [{"name": "v", "data": 1.5}],
}
