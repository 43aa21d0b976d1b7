"""A fault at every single point of a history that is otherwise undisturbed."""

import random

import pytest

from .faults import DaemonDies, DiskIsFull, ExecutorDies, Fault, PowerFails
from .people import CancelWorkflow, Pause, Wish
from .workflows import random_plan
from .world import World

STEPS_ON_A_FULL_DISK = 30
"""Then it stands still, what ran has ended, and jobs that store are refused again and again."""


def first(n: int) -> int:
    return 0


def history(seed: int, wish: Wish | None, wish_at: int, fault: Fault, fault_at: int) -> bool:
    """False when it was over before the fault could strike."""
    world = World()
    pick = random.Random(seed).randrange
    while not world.submit(random_plan(pick, 1)):
        pass
    steps = (
        world.act,
        world.read_order,
        world.begin,
        world.job_stores,
        world.commit,
        world.decide,
        world.kill,
        world.time_passes,
        world.end,
    )
    at = 0
    struck = False
    while any(step(first) for step in steps):
        if at == wish_at and wish is not None:
            wish.come_true(world, first)
        if at == fault_at:
            fault.strike(world, first)
            struck = True
            for _ in range(STEPS_ON_A_FULL_DISK if world.disk_is_full else 0):
                any(step(first) for step in steps)
            break
        at += 1
    world.calm_down()
    world.check_the_end()
    return struck


EACH = pytest.param(1, marks=pytest.mark.large)
SOME = 7
"""One step in so many, and not the same ones in each history: `make check` has no time for all."""


@pytest.mark.parametrize("stride", [SOME, EACH])
@pytest.mark.parametrize(
    "fault", [DaemonDies(), ExecutorDies(), PowerFails(), DiskIsFull()], ids=repr
)
@pytest.mark.parametrize("wish", [None, Pause(), CancelWorkflow()], ids=repr)
@pytest.mark.parametrize("seed", [9, 29, 30, 34, 62, 112])
def test_it_may_break_between_any_two_steps(
    seed: int, wish: Wish | None, fault: Fault, stride: int
) -> None:
    at = seed % stride
    while history(seed, wish, 14, fault, at):
        at += stride
    assert at > 20
