"""What people are told about jobs that ask for a share of the machine."""

import pytest

from tests.unit.scheduler.play import Play
from tests.unit.scheduler.specs import job, workflow
from torcd.model import Capacity
from torcd.server import asking

MACHINE = Capacity(cpus=4, memory_bytes=3 << 29, gpus=1)


def test_who_asks_for_more_than_there_is_is_warned_about_once_for_each_amount() -> None:
    jobs = {f"j{i}": job(num_cpus=8) for i in range(5)}
    jobs["m"] = job(memory_bytes=2 << 30, num_gpus=2)
    assert asking.warnings(workflow(jobs), MACHINE) == [
        '"j0", "j1", "j2" and 2 more ask for 8 CPUs, and there are 4: each gets all there is, '
        "when nobody else has any",
        '"m" asks for 2 GiB of memory, and there are 1.5 GiB: it gets all there is, '
        "when nobody else has any",
        '"m" asks for 2 GPUs, and there are 1: it gets all there is, when nobody else has any',
    ]


def test_who_asks_for_all_there_is_is_not_warned_about() -> None:
    jobs = {"a": job(num_cpus=4, memory_bytes=3 << 29, num_gpus=1), "b": job()}
    assert asking.warnings(workflow(jobs), MACHINE) == []


def test_a_job_that_waits_for_its_share_is_told_what_is_left() -> None:
    a = Play(capacity=MACHINE, a=job(num_cpus=3, num_gpus=1))
    b = Play(beside=a, b=job(num_cpus=2, num_gpus=1), c=job(num_cpus=4))

    def why(name: str) -> str | None:
        return asking.why_it_waits(a.scheduler, b.node, b.job(name), lambda _: True)

    assert why("b") == "it waits for 2 CPUs and 1 GPU; 1 CPU and 0 GPUs are left over by what runs"
    assert why("c") == "it waits for 4 CPUs; 1 CPU is left over by what runs"


def test_a_job_that_waits_for_a_place_in_its_workflow_does_not_wait_for_its_share() -> None:
    p = Play(capacity=MACHINE, parallel=1, a=job(), b=job(num_cpus=1))
    assert asking.why_it_waits(p.scheduler, p.node, p.job("b"), lambda _: True) is None


@pytest.mark.parametrize("is_own", [True, False])
def test_one_behind_a_claim_is_told_whose_it_is_if_it_may_know(is_own: bool) -> None:
    q = Play(capacity=MACHINE, **{f"n{i}": job(num_cpus=2) for i in range(50)})
    p = Play(beside=q, wide=job(num_cpus=4))
    while q.scheduler.claimant is None or q.node.in_flight == 2:
        q.exits(next(name for name, status in q.statuses.items() if status == "pending"))
    whose = f"workflow {p.workflow.key}" if is_own else "another user"
    assert asking.why_it_waits(q.scheduler, q.node, q.job("n49"), lambda _: is_own) == (
        f"it waits for 2 CPUs, and is behind a large job of {whose} that has waited for long"
    )
