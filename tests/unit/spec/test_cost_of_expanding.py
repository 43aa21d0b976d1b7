"""What a job of a large spec costs when it is submitted, counted in lines executed: no clock.

Versions of Python count a little differently."""

from collections.abc import Callable

import pytest

from tests.unit.scheduler.test_cost import lines, request
from torcd import spec
from torcd.scheduler import Scheduler
from torcd.spec import JobSpec, WorkflowSpec

FEW, MANY = 100, 600


def flat(jobs: int) -> WorkflowSpec:
    return WorkflowSpec(jobs=tuple(JobSpec(name=f"j{n}", command="x") for n in range(jobs)))


def three_parents(jobs: int) -> WorkflowSpec:
    return WorkflowSpec(
        jobs=tuple(
            JobSpec(name=f"j{n}", command="x", depends_on=(f"j{n - 1}", f"j{n - 2}", f"j{n - 3}"))
            if n > 2
            else JobSpec(name=f"j{n}", command="x")
            for n in range(jobs)
        )
    )


def per_job(prepare: Callable[[int], Callable[[], object]]) -> float:
    few, many = prepare(FEW), prepare(MANY)
    few()  # what is done once, and for the first
    return (lines(many) - lines(few)) / (MANY - FEW)


@pytest.mark.parametrize(("shape", "most"), [(flat, 136), (three_parents, 166)])
def test_expanding_a_job_takes_few_lines(shape: Callable[[int], WorkflowSpec], most: float) -> None:
    def prepare(jobs: int) -> Callable[[], object]:
        made = shape(jobs)
        return lambda: spec.expand(made, directory="/d", default_name="w", first_key=1)

    assert per_job(prepare) <= most


@pytest.mark.parametrize(("shape", "most"), [(flat, 72), (three_parents, 150)])
def test_building_a_job_takes_few_lines(shape: Callable[[int], WorkflowSpec], most: float) -> None:
    def prepare(jobs: int) -> Callable[[], object]:
        workflow = spec.expand(shape(jobs), directory="/d", default_name="w", first_key=1)
        return lambda: Scheduler().handle(request(workflow, 2))

    assert per_job(prepare) <= most
