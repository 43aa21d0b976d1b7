"""Peers that are a library with workers of its own: HyperQueue, Dask, Parsl.

Each has a program in `bench/peers/programs`, run by the Python in which the peer is installed. It
starts the service, and measures from the first submission to the last result.
"""

import json
import subprocess
from pathlib import Path

from bench.peers import Task, environment

PROGRAMS = Path(__file__).parent / "programs"


def _seconds(name: str, task: Task) -> float:
    (task.directory / "graph.json").write_text(json.dumps([list(w) for w in task.graph]))
    process = subprocess.Popen(
        [
            environment.python(),
            PROGRAMS / f"run_{name}.py",
            "graph.json",
            task.command,
            str(task.at_once),
        ],
        cwd=task.directory,
        env={**environment.variables(), "HOME": str(task.directory)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    with environment.ended_with(process):
        said, complaints = process.communicate(timeout=task.seconds)
    assert process.returncode == 0, complaints[-2000:]
    return float(said.splitlines()[-1])


def hyperqueue(task: Task) -> float:
    return _seconds("hyperqueue", task)


def dask(task: Task) -> float:
    return _seconds("dask", task)


def parsl(task: Task) -> float:
    return _seconds("parsl", task)
