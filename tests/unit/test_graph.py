"""Gates, cycles and order, against a naive model that multiplies everything out."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.grouping import grouped
from torcd import graph
from torcd.model import DataKey, File, FileKey, Job, JobKey, UserData, Workflow, WorkflowKey


def workflow(jobs: Iterable[dict[str, list[int]]], files: int = 0, user_data: int = 0) -> Workflow:
    """Jobs by position: `after` names jobs, `reads`/`writes` files, `fetches`/`stores` values."""
    specs = list(jobs)
    first_file = 1 + len(specs)
    first_data = first_file + files
    return Workflow(
        key=WorkflowKey(0),
        name="w",
        jobs=tuple(
            Job(
                key=JobKey(1 + n),
                name=f"j{n}",
                command="true",
                depends_on=tuple(JobKey(1 + i) for i in spec.get("after", ())),
                input_files=tuple(FileKey(first_file + i) for i in spec.get("reads", ())),
                output_files=tuple(FileKey(first_file + i) for i in spec.get("writes", ())),
                input_user_data=tuple(DataKey(first_data + i) for i in spec.get("fetches", ())),
                output_user_data=tuple(DataKey(first_data + i) for i in spec.get("stores", ())),
            )
            for n, spec in enumerate(specs)
        ),
        files=tuple(
            File(key=FileKey(first_file + i), name=f"f{i}", path=f"/f{i}") for i in range(files)
        ),
        user_data=tuple(
            UserData(key=DataKey(first_data + i), name=f"d{i}") for i in range(user_data)
        ),
    )


def naive_edges(w: Workflow) -> set[tuple[JobKey, JobKey]]:
    return {
        (a.key, b.key)
        for a in w.jobs
        for b in w.jobs
        if a.key in b.depends_on
        or set(a.output_files) & set(b.input_files)
        or set(a.output_user_data) & set(b.input_user_data)
    }


def naive_on_cycles(w: Workflow) -> set[JobKey]:
    """Jobs that can be reached from themselves."""
    reach = naive_edges(w)
    while True:
        more = {(a, d) for a, b in reach for c, d in reach if b == c} - reach
        if not more:
            return {a for a, b in reach if a == b}
        reach |= more


MANY_JOBS = st.integers(1, 7).flatmap(
    lambda n: st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "after": st.lists(st.integers(0, n - 1), max_size=2),
                "reads": st.lists(st.integers(0, 2), max_size=2),
                "writes": st.lists(st.integers(0, 2), max_size=1),
                "fetches": st.lists(st.integers(0, 2), max_size=2),
                "stores": st.lists(st.integers(0, 2), max_size=1),
            },
        ),
        min_size=n,
        max_size=n,
    )
)
WORKFLOWS = MANY_JOBS.map(lambda jobs: workflow(jobs, files=3, user_data=3))


@given(WORKFLOWS)
def test_gates_multiply_out_to_every_dependency_and_no_other(w: Workflow) -> None:
    found = graph.gates(w)
    assert {(p, c) for g in found for p in g.producers for c in g.consumers} == naive_edges(w)


@given(WORKFLOWS)
def test_a_gate_names_each_job_once_and_in_spec_order(w: Workflow) -> None:
    found = graph.gates(w)
    assert len({g.subject for g in found}) == len(found)
    for gate in found:
        assert gate.consumers
        assert list(gate.producers) == sorted(set(gate.producers))
        assert list(gate.consumers) == sorted(set(gate.consumers))


@given(WORKFLOWS)
def test_cycles_are_found_exactly_where_there_are_some(w: Workflow) -> None:
    cycles = graph.find_cycles(w, graph.gates(w))
    on_cycles = naive_on_cycles(w)
    assert bool(cycles) == bool(on_cycles)
    edges = naive_edges(w)
    for cycle in cycles:
        assert len({link.producer for link in cycle}) == len(cycle)
        for link, following in zip(cycle, (*cycle[1:], cycle[0]), strict=True):
            assert (link.producer, link.consumer) in edges
            assert link.producer in link.gate.producers
            assert link.consumer in link.gate.consumers
            assert link.consumer == following.producer
    # Each knot has one cycle: without those jobs' knots nothing circular is left.
    assert len({link.producer for cycle in cycles for link in cycle}) == sum(map(len, cycles))


@given(WORKFLOWS)
def test_it_is_plain_exactly_where_nothing_waits_for_what_comes_after_it(w: Workflow) -> None:
    assert graph.goes_forward(w) == all(a < b for a, b in naive_edges(w))


@given(WORKFLOWS)
def test_every_knot_of_jobs_is_reported(w: Workflow) -> None:
    reach = naive_edges(w)
    while more := {(a, d) for a, b in reach for c, d in reach if b == c} - reach:
        reach |= more
    knots = {
        frozenset(b for b in naive_on_cycles(w) if (a, b) in reach and (b, a) in reach)
        for a in naive_on_cycles(w)
    }
    cycles = graph.find_cycles(w, graph.gates(w))
    assert [min(knot) for knot in sorted(knots, key=min)] == [c[0].producer for c in cycles]


@given(WORKFLOWS)
def test_order_puts_a_job_after_all_it_waits_for(w: Workflow) -> None:
    order = graph.topological_order(w, graph.gates(w))
    place = {key: n for n, key in enumerate(order)}
    edges = naive_edges(w)
    if not naive_on_cycles(w):
        assert len(order) == len(w.jobs)
    for before, after in edges:
        assert after not in place or place[before] < place[after]
    # Spec order among equals: whenever a job is taken, none before it in the spec could be.
    for n, key in enumerate(order):
        done = set(order[:n])
        could = [j.key for j in w.jobs if j.key not in done and not (waits(edges, j.key) - done)]
        assert key == min(could)


def waits(edges: set[tuple[JobKey, JobKey]], key: JobKey) -> set[JobKey]:
    return {a for a, b in edges if b == key}


def test_jobs_without_dependencies_keep_the_order_of_the_spec() -> None:
    w = workflow([{}, {}, {"after": [3]}, {}])
    assert graph.topological_order(w, graph.gates(w)) == [1, 2, 4, 3]


def test_a_job_that_reads_what_it_writes_is_a_cycle() -> None:
    w = workflow([{}, {"reads": [0], "writes": [0]}], files=1)
    (cycle,) = graph.find_cycles(w, graph.gates(w))
    assert [(link.producer, link.gate.kind, link.consumer) for link in cycle] == [(2, "file", 2)]


def test_a_cycle_names_what_it_goes_through() -> None:
    w = workflow(
        [{"after": [2], "writes": [0]}, {"reads": [0], "stores": [0]}, {"fetches": [0]}],
        files=1,
        user_data=1,
    )
    (cycle,) = graph.find_cycles(w, graph.gates(w))
    assert [(link.producer, link.gate.kind, link.consumer) for link in cycle] == [
        (1, "file", 2),
        (2, "user_data", 3),
        (3, "job", 1),
    ]


def test_an_input_that_nobody_makes_is_a_gate_without_producers() -> None:
    w = workflow([{"reads": [0]}], files=2)
    (gate,) = graph.gates(w)
    assert (gate.kind, gate.producers, gate.consumers) == ("file", (), (1,))
    assert graph.topological_order(w, [gate]) == [1]


def test_a_thousand_readers_of_a_file_with_a_thousand_writers_take_two_thousand_entries() -> None:
    w = workflow([{"writes": [0]}] * 1000 + [{"reads": [0]}] * 1000, files=1)
    (gate,) = graph.gates(w)
    assert len(gate.producers) + len(gate.consumers) == 2000
    assert graph.find_cycles(w, [gate]) == []


@pytest.mark.large
def test_a_ring_of_a_hundred_thousand_jobs_is_found_without_recursion() -> None:
    length = 100_000
    w = workflow([{"after": [(n - 1) % length]} for n in range(length)])
    (cycle,) = graph.find_cycles(w, graph.gates(w))
    assert len(cycle) == length


# Groups


@given(WORKFLOWS)
def test_a_group_in_place_of_a_list_changes_nothing(w: Workflow) -> None:
    other = grouped(w)
    gates, others = graph.gates(w), graph.gates(other)
    assert graph.topological_order(other, others) == graph.topological_order(w, gates)
    cycles, other_cycles = graph.find_cycles(w, gates), graph.find_cycles(other, others)
    firsts = [(cycle[0].producer, len(cycle)) for cycle in cycles]
    assert [(cycle[0].producer, len(cycle)) for cycle in other_cycles] == firsts
    for cycle in other_cycles:
        for link in cycle:
            assert link.gate.members == ()
            assert link.producer in link.gate.producers
            waited_for = link.gate if link.group is None else link.group
            assert link.consumer in waited_for.consumers


def test_a_group_is_a_gate_behind_those_of_its_members() -> None:
    w = grouped(workflow([{}, {}, {"after": [0, 1]}, {"after": [0, 1]}]))
    first, second, group = graph.gates(w)
    assert (first.consumers, second.consumers) == ((), ())
    assert (group.kind, group.producers, group.members) == ("group", (), (1, 2))
    assert group.consumers == (3, 4)


def test_a_thousand_before_and_a_thousand_after_a_group_are_thousands_and_no_million() -> None:
    before: list[dict[str, list[int]]] = [{} for _ in range(1000)]
    w = grouped(workflow([*before, *({"after": list(range(1000))} for _ in range(1000))]))
    gates = graph.gates(w)
    assert sum(len(g.producers) + len(g.members) + len(g.consumers) for g in gates) == 3000
    assert len(graph.topological_order(w, gates)) == 2000
