"""Long random histories, each repeatable by its seed.

Each episode has a temper of its own: which faults and wishes occur in it and how often, and who is
slow. Evenly mixed, everything would happen a little and nothing would ever pile up.
"""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from torcd.scheduler import storing

from .faults import FAULTS, RACES
from .people import WISHES, Submit
from .workflows import Pick
from .world import World

FIRST_EPISODES = 120
EPISODES = 400
STEPS = 150
TWINS = range(40)

Step = Callable[[Pick], bool]


class Temper:
    def __init__(self, pick: Pick) -> None:
        self.faults = [fault for fault in FAULTS if pick(2)]
        self.wishes = [Submit(), *(wish for wish in WISHES if pick(2))]
        self.peace = 4 + pick(40)
        """One step in so many is a fault, one a wish, one a race where there is one to be had."""
        self.slow = {name for name in STEPS_OF_THE_WORLD if not pick(3)}
        """These happen only when nothing else can, and not always then."""


STEPS_OF_THE_WORLD = (
    "decide",
    "commit",
    "act",
    "boot",
    "read_order",
    "begin",
    "job_stores",
    "end",
    "kill",
    "time_passes",
    "room_is_made",
)


def cruel_step(world: World, temper: Temper, pick: Pick) -> str:
    """One step of somebody; returns what it was."""
    kind = pick(temper.peace)
    if kind == 0 and temper.faults:
        fault = temper.faults[pick(len(temper.faults))]
        if fault.strike(world, pick):
            return type(fault).__name__
    elif kind == 1:
        wish = temper.wishes[pick(len(temper.wishes))]
        if wish.come_true(world, pick):
            return type(wish).__name__
    elif kind == 2:
        for race in RACES:
            if race.strike(world, pick):
                return type(race).__name__
    first = pick(len(STEPS_OF_THE_WORLD))
    names = (*STEPS_OF_THE_WORLD[first:], *STEPS_OF_THE_WORLD[:first])
    for name in sorted(names, key=temper.slow.__contains__):
        if name in temper.slow and pick(3):
            continue
        step: Step = getattr(world, name)
        if step(pick):
            return name
    if Submit().come_true(world, pick):
        return "Submit"
    return "grant" if not pick(4) and world.grant(pick) else "nothing"


def episode(seed: int) -> tuple[World, Counter[str]]:
    pick = random.Random(seed).randrange
    world = World()
    temper = Temper(pick)
    done = Counter(cruel_step(world, temper, pick) for _ in range(STEPS))
    world.calm_down()
    world.check_the_end()
    return world, done


def campaign(seeds: range) -> Counter[str]:
    occurred: Counter[str] = Counter()
    for seed in seeds:
        try:
            occurred += episode(seed)[1]
        except AssertionError as error:
            error.add_note(f"in the episode of seed {seed}")
            raise
    return occurred


def test_whatever_happens_every_workflow_ends_as_it_must() -> None:
    campaign(range(FIRST_EPISODES))


@pytest.mark.large
def test_whatever_happens_for_long_every_workflow_ends_as_it_must() -> None:
    occurred = campaign(range(EPISODES))
    names = {type(one).__name__ for one in (*FAULTS, *WISHES)} | set(STEPS_OF_THE_WORLD)
    assert {name for name in names if occurred[name] < 10} == set(), "it was not cruel enough"


def test_a_seed_repeats_its_history() -> None:
    assert episode(7)[0].log == episode(7)[0].log


def test_a_value_that_does_not_spread_is_decided_as_in_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    straight = 0
    spreads = storing.spreads

    def counted(*of: Any) -> bool:
        nonlocal straight
        does = spreads(*of)
        straight += not does
        return does

    for seed in TWINS:
        monkeypatch.setattr(storing, "spreads", counted)
        as_it_is = episode(seed)[0].log
        monkeypatch.setattr(storing, "spreads", lambda *_: True)
        assert episode(seed)[0].log == as_it_is, f"in the episode of seed {seed}"
    assert straight >= 8
