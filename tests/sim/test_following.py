"""What comes after an attempt that is canceled while its good end is on the way."""

import pytest

from torcd.model import Job, JobKey, JobStatus, Workflow, WorkflowKey
from torcd.scheduler import events as e

from .executor import Life, Outcome
from .workflows import Plan
from .world import World

FIRST, LEADER, FOLLOWER, LAST = (JobKey(key) for key in (2, 3, 4, 5))


def chain() -> Plan:
    keys = (FIRST, LEADER, FOLLOWER, LAST)
    jobs = tuple(
        Job(key=key, name=f"j{key}", command="true", depends_on=before)
        for key, before in zip(keys, ((), *((key,) for key in keys)), strict=False)
    )
    return Plan(
        workflow=Workflow(key=WorkflowKey(1), name="w", jobs=jobs, files=(), user_data=()),
        max_parallel_jobs=2,
        wait_for_inputs=False,
        initial=frozenset(),
        absent_files=frozenset(),
        outcomes=dict.fromkeys(keys, Outcome()),
    )


def first(n: int) -> int:
    return 0


def talk(world: World) -> None:
    """Until daemon and executor have nothing more to say to each other."""
    while any(step(first) for step in (world.act, world.read_order, world.commit, world.decide)):
        pass


@pytest.mark.parametrize("is_known", [True, False], ids=["known to run", "not known to run"])
def test_what_has_started_meanwhile_is_killed(is_known: bool) -> None:
    world = World()
    assert world.submit(chain())
    talk(world)
    assert world.begin(first)
    talk(world)
    assert world.end(first)  # so it is known that jobs are short
    talk(world)
    assert len(world.executor.of(Life.HELD)) == 2
    assert world.begin(first)
    if is_known:
        talk(world)
    assert world.end(first)
    assert world.begin(first)
    cancel = e.CancelRequested(workflow_key=WorkflowKey(1), jobs=(LEADER,), at=world.tick())
    assert world.handle(cancel)
    world.calm_down()
    world.check_the_end()
    ends = {key: world.store.status(key) for key in (FIRST, LEADER, FOLLOWER, LAST)}
    canceled = JobStatus.CANCELED
    assert ends == {
        FIRST: JobStatus.COMPLETED,
        LEADER: canceled,
        FOLLOWER: canceled,
        LAST: canceled,
    }
