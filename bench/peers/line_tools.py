"""Peers that run a command for each line of their input: xargs and GNU parallel. They know no
dependencies."""

from bench.peers import Task
from bench.peers.build_tools import timed


def _lines(task: Task) -> str | None:
    if any(task.graph):
        return None
    return "".join(f"{job}\n" for job in range(len(task.graph)))


def xargs(task: Task) -> float | None:
    lines = _lines(task)
    if lines is None:
        return None
    return timed(["xargs", "-P", str(task.at_once), "-n", "1", task.command], task, stdin=lines)


def parallel(task: Task) -> float | None:
    lines = _lines(task)
    if lines is None:
        return None
    words = ["parallel", "--will-cite", "-j", str(task.at_once), f"{task.command} {{}}"]
    return timed(words, task, stdin=lines)
