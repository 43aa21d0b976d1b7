"""What waits for what in a workflow.

Jobs do not wait for jobs directly: between them stand gates. A gate is a job, a file or a
user_data that at least one job waits for (its consumers); it opens when all jobs that make it (its
producers) have finished as required. A gate names each producer and each consumer once, so a file
that a thousand jobs write and a thousand read takes two thousand entries and not a million. A gate
without producers is an input that has to be there.

A job that adds jobs while it runs is a gate before them, of a kind of its own: what it added comes
after it, and whether that waits for it as well is for the scheduler to say.

A group of the workflow is a gate too. It has no producers but members: it opens when the gates of
all of them are open. Groups do not contain groups.

Everything here grows with the number of declarations, and nothing recurses, so the length of a
chain does not matter. "Spec order" is the order of `workflow.jobs`.
"""

import heapq
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from torcd.model import DataKey, FileKey, GroupKey, JobKey, Kind, Workflow


class Gate(msgspec.Struct, frozen=True, gc=False):
    """Something jobs wait for, which opens when all its producers have finished as required."""

    subject: JobKey | FileKey | DataKey | GroupKey
    """What is waited for. Keys come from one counter, so it identifies the gate; that of what a job
    has added has the negative of the job's."""
    kind: Kind | Literal["group", "added"]
    producers: tuple[JobKey, ...]
    """In spec order; for a job, itself; for a group, none."""
    consumers: tuple[JobKey, ...]
    """In spec order; empty if it is only waited for as a member of groups."""
    members: tuple[int, ...] = ()
    """Of a group: the subjects of other gates."""


class Link(msgspec.Struct, frozen=True):
    """`consumer` waits for `producer` because of `gate`."""

    producer: JobKey
    gate: Gate
    consumer: JobKey
    group: Gate | None = None
    """Between `gate` and `consumer`, where that waits for the whole of it."""


Cycle = tuple[Link, ...]
"""Each link's consumer is the next one's producer, and the last one's is the first one's."""


def gates(workflow: Workflow) -> list[Gate]:
    """All gates of a workflow: jobs, files, user_data, each as declared, what jobs have added, and
    last its groups."""
    producers: dict[int, list[JobKey]] = {}
    consumers: defaultdict[int, list[JobKey]] = defaultdict(list)
    added: dict[JobKey, list[JobKey]] = {}
    for job in workflow.jobs:
        key = job.key
        # Sets, because a name may be given twice; their order does not reach the result.
        awaited: set[int] = set(job.depends_on)
        if job.input_files or job.input_user_data or job.awaits:
            awaited.update(job.input_files, job.input_user_data, job.awaits)
        for subject in awaited:
            consumers[subject].append(key)
        if job.output_files or job.output_user_data:
            for subject in {*job.output_files, *job.output_user_data}:
                producers.setdefault(subject, []).append(key)
        if job.added is not None:
            added.setdefault(job.added.by, []).append(job.key)

    for group in workflow.groups:
        for member in group.members:
            consumers[member]  # it is a gate, whoever else waits for it

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
    found += [Gate(JobKey(-adder), "added", (adder,), tuple(jobs)) for adder, jobs in added.items()]
    found += [
        Gate(group.key, "group", (), tuple(consumers.get(group.key, ())), group.members)
        for group in workflow.groups
    ]
    return found


def topological_order(workflow: Workflow, gates: Sequence[Gate]) -> list[JobKey]:
    """The jobs so that each comes after all it waits for, otherwise in spec order.

    Jobs on a cycle, and those that wait for them, are not in it.
    """
    if _goes_forward(gates):
        return [job.key for job in workflow.jobs]
    graph = _Graph(workflow, gates)
    return [workflow.jobs[node].key for node in graph.ordered_jobs()]


def find_cycles(workflow: Workflow, gates: Sequence[Gate]) -> list[Cycle]:
    """One cycle for each knot of jobs that wait for one another, in spec order; [] without any.

    Each is a shortest one through the first job of its knot. A job that waits for itself, or that
    both reads and makes one thing, is a cycle of one link.
    """
    if _goes_forward(gates):
        return []
    graph = _Graph(workflow, gates)
    ordered = graph.ordered_jobs()
    if len(ordered) == graph.job_count:
        return []
    knots = graph.knots(sorted(set(range(graph.job_count)).difference(ordered)))
    firsts = sorted((min(n for n in knot if n < graph.job_count), knot) for knot in knots)
    return [graph.shortest_cycle(first, set(knot)) for first, knot in firsts]


def goes_forward(workflow: Workflow) -> bool:
    """Whether it is plain, without gates, that nothing waits for what comes after it, as in nearly
    every workflow. False: look closer."""
    last: dict[int, int] = {}
    """The last producer of each file and user_data. Keys rise in spec order."""
    for job in workflow.jobs:
        if (job.depends_on and max(job.depends_on) >= job.key) or job.awaits or job.added:
            return False
        if job.output_files or job.output_user_data:
            last.update(dict.fromkeys((*job.output_files, *job.output_user_data), job.key))
    return not last or not any(
        last.get(subject, -1) >= job.key
        for job in workflow.jobs
        if job.input_files or job.input_user_data
        for subject in (*job.input_files, *job.input_user_data)
    )


def _goes_forward(gates: Sequence[Gate]) -> bool:
    """Whether nothing waits for what comes after it: then there are no cycles."""
    last: dict[int, int] = {}
    """The last producer of each gate. Keys rise in spec order."""
    for gate in gates:
        before = gate.producers[-1] if gate.producers else -1
        if gate.members:
            before = max(last[member] for member in gate.members)
        if gate.consumers and before >= gate.consumers[0]:
            return False
        last[gate.subject] = before
    return True


class _Graph:
    """Jobs and gates as numbered nodes: the jobs in spec order, then the gates."""

    def __init__(self, workflow: Workflow, gates: Sequence[Gate]) -> None:
        self._jobs = workflow.jobs
        self._gates = gates
        self.job_count = len(workflow.jobs)
        node_of: dict[int, int] = {job.key: node for node, job in enumerate(workflow.jobs)}
        gate_of: dict[int, int] = {
            gate.subject: node for node, gate in enumerate(gates, start=self.job_count)
        }
        self._after: list[list[int]] = [[] for _ in workflow.jobs]
        self._waits_for = [0] * self.job_count
        """How many nodes come directly before each."""
        for node, gate in enumerate(gates, start=self.job_count):
            for key in gate.producers:
                self._after[node_of[key]].append(node)
            for member in gate.members:
                self._after[gate_of[member]].append(node)
            nodes = [node_of[key] for key in gate.consumers]
            for consumer in nodes:
                self._waits_for[consumer] += 1
            self._after.append(nodes)
            self._waits_for.append(len(gate.producers) + len(gate.members))

    def ordered_jobs(self) -> list[int]:
        """Jobs whose turn comes, the first in spec order of those that could be next."""
        missing = self._waits_for.copy()
        ready = [node for node in range(self.job_count) if not missing[node]]
        open_gates = [n for n in range(self.job_count, len(missing)) if not self._waits_for[n]]
        order: list[int] = []
        while True:
            while open_gates:
                for after in self._after[open_gates.pop()]:
                    missing[after] -= 1
                    if not missing[after] and after < self.job_count:
                        heapq.heappush(ready, after)
                    elif not missing[after]:
                        open_gates.append(after)
            if not ready:
                return order
            job = heapq.heappop(ready)
            order.append(job)
            for gate in self._after[job]:
                missing[gate] -= 1
                if not missing[gate]:
                    open_gates.append(gate)

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

    def _gate(self, node: int) -> Gate:
        return self._gates[node - self.job_count]

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
            node = came_from[consumer]
            group = self._gate(node) if self._gate(node).members else None
            gate = node if group is None else came_from[node]
            producer = came_from[gate]
            links.append(
                Link(self._jobs[producer].key, self._gate(gate), self._jobs[consumer].key, group)
            )
            consumer = producer
        return tuple(reversed(links))
