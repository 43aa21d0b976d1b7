"""What an event costs, counted in lines executed and commands made: no clock is needed for it."""

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from torcd.model import Capacity, Happening, JobKey, Workflow
from torcd.scheduler import Scheduler
from torcd.scheduler import events as e
from torcd.scheduler.commands import Action, Command, Record
from torcd.scheduler.sharing import BOUNDLESS

from .specs import ActionSpec, JobSpec, job, parsed, workflow


def submitted(
    jobs: dict[str, JobSpec], parallel: int = 4, capacity: Capacity = BOUNDLESS
) -> Scheduler:
    scheduler = Scheduler(capacity=capacity)
    scheduler.handle(request(workflow(jobs), parallel))
    return scheduler


def request(workflow: Workflow, parallel: int) -> e.SubmitRequested:
    return e.SubmitRequested(
        workflow=workflow,
        max_parallel_jobs=parallel,
        initial_values={},
        absent_files=frozenset(),
        wait_for_inputs=False,
        at=1,
    )


def exited(attempt_key: int, code: int = 0, at: int = 10_000_000) -> e.AttemptExited:
    return e.AttemptExited(
        attempt_key=attempt_key,
        return_code=code,
        cpu_seconds=None,
        peak_memory_bytes=None,
        outputs=e.Outputs(),
        at=at,
    )


def lines(act: Callable[[], Any]) -> int:
    """How many lines of Python it executes, loops counted each time round."""
    count = 0

    def local(frame: FrameType, kind: str, argument: Any) -> Any:
        nonlocal count
        count += kind == "line"
        return local

    before = sys.gettrace()
    gc.disable()  # it may call into Python: hypothesis measures it
    sys.settrace(local)
    try:
        act()
    finally:
        sys.settrace(before)
        gc.enable()
    return count


SHAPES = {
    "independent": lambda n: {f"j{i}": job() for i in range(n)},
    "chain": lambda n: {f"j{i}": job(after=f"j{i - 1}" if i else "") for i in range(n)},
    "pipelines": lambda n: {
        f"{kind}{i}": job(writes=f"f{i}") if kind == "a" else job(reads=f"f{i}")
        for i in range(n // 2)
        for kind in "ab"
    },
    "waiting for one": lambda n: {f"j{i}": job(after="j0" if i > 1 else "") for i in range(n)},
}

EVENTS: dict[str, Callable[[int], e.Event]] = {
    "started": lambda attempt: e.AttemptStarted(attempt, 2),
    "exited": exited,
    "lost": lambda attempt: e.AttemptLost(attempt, "gone", 2),
    "not started": lambda attempt: e.AttemptNotStarted(attempt, None, 2),
    "stale": lambda attempt: e.AttemptStarted(attempt + 1_000_000, 2),
}


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("shape", ["independent", "pipelines"])
def test_a_report_costs_the_same_in_a_workflow_of_ten_jobs_and_of_a_thousand(shape, event):
    def cost(n: int) -> int:
        scheduler = submitted(SHAPES[shape](n))
        return lines(lambda: scheduler.handle(EVENTS[event](1)))

    assert cost(1_000) == cost(10)


def test_a_job_of_a_chain_costs_the_same_however_long_the_chain_is():
    def cost(n: int) -> int:
        scheduler = submitted(SHAPES["chain"](n))
        return lines(lambda: scheduler.handle(exited(1)))

    assert cost(1_000) == cost(10)


def test_an_end_that_frees_one_gate_does_not_look_at_the_consumers_of_another():
    def cost(n: int) -> int:
        scheduler = submitted(SHAPES["waiting for one"](n))
        return lines(lambda: scheduler.handle(exited(2)))

    assert cost(1_000) == cost(10)


def test_a_store_costs_the_same_however_large_the_workflow_is():
    def cost(n: int) -> int:
        jobs = {"first": job(stores="d"), **SHAPES["independent"](n)}
        scheduler = submitted(jobs)
        request = e.StoreRequested(
            workflow_key=1,
            data_key=workflow(jobs).user_data[0].key,
            value=parsed("1"),
            attempt_key=1,
            at=2,
        )
        return lines(lambda: scheduler.handle(request))

    assert cost(1_000) == cost(10)


def test_canceling_one_job_costs_the_same_however_large_the_workflow_is():
    def cost(n: int) -> int:
        scheduler = submitted(SHAPES["independent"](n))
        request = e.CancelRequested(workflow_key=1, jobs=(JobKey(9),), at=2)
        return lines(lambda: scheduler.handle(request))

    assert cost(1_000) == cost(10)


@pytest.mark.parametrize("by", ["after", "reads"])
def test_a_failure_costs_in_proportion_to_what_it_cancels(by):
    def cost(n: int) -> int:
        jobs = {
            f"j{i}": job(
                writes=f"f{i}",
                **({by: f"{'j' if by == 'after' else 'f'}{i - 1}"} if i else {}),
            )
            for i in range(n)
        }
        scheduler = submitted(jobs)
        return lines(lambda: scheduler.handle(exited(1, 1)))

    per_job = cost(101) - cost(100)
    assert cost(2_100) - cost(100) == 2_000 * per_job


def test_a_gate_between_a_thousand_and_a_thousand_is_looked_through_once():
    jobs = {f"a{i}": job(writes="f") for i in range(1_000)}
    jobs |= {f"b{i}": job(reads="f") for i in range(1_000)}
    scheduler = submitted(jobs, parallel=1_000)
    most = 0
    total = 0
    for attempt in range(1, 1_001):
        cost = lines(lambda: scheduler.handle(exited(attempt)))  # noqa: B023
        most = max(most, cost)
        total += cost
    assert total - most < 1_000 * 300


def test_an_end_costs_the_same_however_many_ready_jobs_ask_for_the_same():
    def cost(n: int) -> int:
        jobs = {f"j{i}": job(num_cpus=1 + i % 3) for i in range(n)}
        scheduler = submitted(jobs, capacity=Capacity(cpus=4, memory_bytes=1, gpus=0))
        return lines(lambda: scheduler.handle(exited(1)))

    assert cost(9_000) - cost(9) < 60  # a heap is some levels deeper


def test_an_end_in_a_workflow_that_asks_for_nothing_does_not_look_at_those_that_do():
    def cost(n: int) -> int:
        scheduler = submitted(SHAPES["independent"](10))
        for _ in range(n):
            other = workflow({"a": job(num_cpus=9)}, first_key=scheduler.next_key)
            scheduler.handle(request(other, 1))
        return lines(lambda: scheduler.handle(exited(1)))

    assert cost(100) == cost(0)


def test_a_job_that_runs_well_takes_three_records_and_three_announcements():
    scheduler = submitted(SHAPES["independent"](100), parallel=1)
    made: list[Command] = []
    for attempt in range(1, 51):
        made += scheduler.handle(e.AttemptStarted(attempt, 1))
        made += scheduler.handle(exited(attempt))
    per_job = [sum(isinstance(c, kind) for c in made) / 50 for kind in (Record, Action, Happening)]
    # An attempt's intent and end, and the job's end; one order; pending, running and over.
    assert per_job == [3, 1, 3]


def test_a_job_that_runs_well_takes_few_lines() -> None:
    scheduler = submitted(SHAPES["independent"](100))
    scheduler.handle(e.AttemptStarted(1, 1))
    scheduler.handle(exited(1))  # from here on it is known how long they take
    started = lines(lambda: scheduler.handle(e.AttemptStarted(2, 1)))
    ended = lines(lambda: scheduler.handle(exited(2)))
    # Versions of Python count a little differently.
    assert started < 66, started
    assert ended < 276, ended


def test_an_end_costs_the_same_however_large_the_sets_of_actions_are() -> None:
    def cost(n_jobs: int) -> int:
        jobs = {f"j{i}": job() for i in range(n_jobs)}
        actions = [ActionSpec("on_jobs_complete", " ".join(jobs))]
        scheduler = Scheduler()
        scheduler.handle(request(workflow(jobs, actions=actions), n_jobs))
        return lines(lambda: scheduler.handle(exited(1)))

    assert cost(2_000) == cost(20)
