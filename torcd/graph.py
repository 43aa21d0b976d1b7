"""What waits for what in a workflow.

Jobs do not wait for jobs directly: between them stand gates. A gate is a job, a file or a
user_data that at least one job waits for (its consumers); it opens when all jobs that make it (its
producers) have finished as required. A gate names each producer and each consumer once, so a file
that a thousand jobs write and a thousand read takes two thousand entries and not a million. A gate
without producers is an input that has to be there.

Everything here grows with the number of declarations, and nothing recurses, so the length of a
chain does not matter. "Spec order" is the order of `workflow.jobs`.
"""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from torcd.model import DataKey, FileKey, JobKey, Workflow


class Gate(msgspec.Struct, frozen=True, gc=False):
    """Something jobs wait for, which opens when all its producers have finished as required."""

    subject: JobKey | FileKey | DataKey
    """What is waited for. Keys come from one counter, so it identifies the gate."""
    kind: Literal["job", "file", "user_data"]
    producers: tuple[JobKey, ...]
    """In spec order; for a job, itself."""
    consumers: tuple[JobKey, ...]
    """In spec order; never empty."""


class Link(msgspec.Struct, frozen=True):
    """`consumer` waits for `producer` because of `gate`."""

    producer: JobKey
    gate: Gate
    consumer: JobKey


Cycle = tuple[Link, ...]
"""Each link's consumer is the next one's producer, and the last one's is the first one's."""


def gates(workflow: Workflow) -> list[Gate]:
    """All gates of a workflow: jobs first, then files, then user_data, each as declared."""
    producers: dict[int, list[JobKey]] = {}
    consumers: dict[int, list[JobKey]] = {}
    for job in workflow.jobs:
        # Sets, because a name may be given twice; their order does not reach the result.
        for subject in {*job.depends_on, *job.input_files, *job.input_user_data}:
            consumers.setdefault(subject, []).append(job.key)
        for subject in {*job.output_files, *job.output_user_data}:
            producers.setdefault(subject, []).append(job.key)

    found = [
        Gate(job.key, "job", (job.key,), tuple(consumers[job.key]))
        for job in workflow.jobs
        if job.key in consumers
    ]
    found += [
        Gate(file.key, "file", tuple(producers.get(file.key, ())), tuple(consumers[file.key]))
        for file in workflow.files
        if file.key in consumers
    ]
    found += [
        Gate(data.key, "user_data", tuple(producers.get(data.key, ())), tuple(consumers[data.key]))
        for data in workflow.user_data
        if data.key in consumers
    ]
    return found


def topological_order(workflow: Workflow, gates: Sequence[Gate]) -> list[JobKey]:
    """The jobs so that each comes after all it waits for, otherwise in spec order.

    Jobs on a cycle, and those that wait for them, are not in it.
    """
    graph = _Graph(workflow, gates)
    return [workflow.jobs[node].key for node in graph.ordered_jobs()]


def find_cycles(workflow: Workflow, gates: Sequence[Gate]) -> list[Cycle]:
    """One cycle for each knot of jobs that wait for one another, in spec order; [] without any.

    Each is a shortest one through the first job of its knot. A job that waits for itself, or that
    both reads and makes one thing, is a cycle of one link.
    """
    if all(not g.producers or g.producers[-1] < g.consumers[0] for g in gates):
        return []  # Keys rise in spec order, so nothing waits for what comes after it.
    graph = _Graph(workflow, gates)
    ordered = graph.ordered_jobs()
    if len(ordered) == graph.job_count:
        return []
    knots = graph.knots(sorted(set(range(graph.job_count)).difference(ordered)))
    firsts = sorted((min(n for n in knot if n < graph.job_count), knot) for knot in knots)
    return [graph.shortest_cycle(first, set(knot)) for first, knot in firsts]


class _Graph:
    """Jobs and gates as numbered nodes: the jobs in spec order, then the gates."""

    def __init__(self, workflow: Workflow, gates: Sequence[Gate]) -> None:
        self._jobs = workflow.jobs
        self._gates = gates
        self.job_count = len(workflow.jobs)
        node_of = {job.key: node for node, job in enumerate(workflow.jobs)}
        self._after: list[list[int]] = [[] for _ in workflow.jobs]
        self._waits_for = [0] * self.job_count
        """How many nodes come directly before each."""
        for node, gate in enumerate(gates, start=self.job_count):
            for key in gate.producers:
                self._after[node_of[key]].append(node)
            nodes = [node_of[key] for key in gate.consumers]
            for consumer in nodes:
                self._waits_for[consumer] += 1
            self._after.append(nodes)
            self._waits_for.append(len(gate.producers))

    def ordered_jobs(self) -> list[int]:
        """Jobs whose turn comes, the first in spec order of those that could be next."""
        missing = self._waits_for.copy()
        for node in range(self.job_count, len(missing)):
            if not missing[node]:
                for consumer in self._after[node]:
                    missing[consumer] -= 1
        ready = [node for node in range(self.job_count) if not missing[node]]
        order = []
        while ready:
            job = heapq.heappop(ready)
            order.append(job)
            for gate in self._after[job]:
                missing[gate] -= 1
                if not missing[gate]:
                    for consumer in self._after[gate]:
                        missing[consumer] -= 1
                        if not missing[consumer]:
                            heapq.heappush(ready, consumer)
        return order

    def knots(self, jobs: Iterable[int]) -> list[list[int]]:
        """The strongly connected sets of nodes reachable from `jobs`, but for those of one node.

        Tarjan's algorithm, with its own stack of half-read successor lists.
        """
        found: list[list[int]] = []
        index: dict[int, int] = {}
        lowest: dict[int, int] = {}
        open_nodes: list[int] = []
        is_open: set[int] = set()
        path: list[tuple[int, Iterator[int]]] = []

        def enter(node: int) -> None:
            index[node] = lowest[node] = len(index)
            open_nodes.append(node)
            is_open.add(node)
            path.append((node, iter(self._after[node])))

        for root in jobs:
            if root in index:
                continue
            enter(root)
            while path:
                node, successors = path[-1]
                for successor in successors:
                    if successor not in index:
                        enter(successor)
                        break
                    if successor in is_open:
                        lowest[node] = min(lowest[node], index[successor])
                else:
                    path.pop()
                    if path:
                        above = path[-1][0]
                        lowest[above] = min(lowest[above], lowest[node])
                    if lowest[node] == index[node]:
                        knot = [open_nodes.pop()]
                        while knot[-1] != node:
                            knot.append(open_nodes.pop())
                        is_open.difference_update(knot)
                        if len(knot) > 1:
                            found.append(knot)
        return found

    def shortest_cycle(self, start: int, knot: set[int]) -> Cycle:
        """A shortest cycle through the job `start`, breadth first within its knot."""
        came_from: dict[int, int] = {}
        queue = deque([start])
        while start not in came_from:
            node = queue.popleft()
            for successor in self._after[node]:
                if successor in knot and successor not in came_from:
                    came_from[successor] = node
                    queue.append(successor)
        links: list[Link] = []
        consumer = start
        while not links or consumer != start:
            gate = came_from[consumer]
            producer = came_from[gate]
            links.append(
                Link(
                    self._jobs[producer].key,
                    self._gates[gate - self.job_count],
                    self._jobs[consumer].key,
                )
            )
            consumer = producer
        return tuple(reversed(links))
