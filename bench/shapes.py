"""The shapes of the workflows: for each job, the earlier ones that it waits for.

Every contestant gets the same graph, with an entry of its own for each job.
"""

from collections.abc import Sequence
from typing import Any

Graph = list[Sequence[int]]


def flat(jobs: int) -> Graph:
    return [()] * jobs


def chain(jobs: int) -> Graph:
    return [(job - 1,) if job else () for job in range(jobs)]


def layers(jobs: int, width: int, parents: int) -> Graph:
    """Each job but those of the first layer waits for neighbours in the layer before."""
    graph: Graph = []
    for job in range(jobs):
        layer, place = divmod(job, width)
        before = (layer - 1) * width
        graph.append([before + (place + k) % width for k in range(parents)] if layer else ())
    return graph


def fan(jobs: int) -> Graph:
    """One, then all the others but one, then that one."""
    return [(), *([(0,)] * (jobs - 2)), range(1, jobs - 1)]


def edges(graph: Graph) -> int:
    return sum(map(len, graph))


def workflow(graph: Graph, command: str) -> dict[str, Any]:
    """The graph as a spec of torcd."""
    return {
        "jobs": [
            {"name": f"j{job}", "command": command, "depends_on": [f"j{k}" for k in waits_for]}
            if waits_for
            else {"name": f"j{job}", "command": command}
            for job, waits_for in enumerate(graph)
        ]
    }
