"""The make-believe database of the simulation and the real one: the same histories, written to
both, load the same after every commit. What the simulation proves holds for the real one too."""

import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.sim.store import Store as MakeBelieveStore
from tests.sim.test_again import history as again
from tests.sim.test_campaign import episode
from tests.store_world import BOOT
from torcd.model import Happening
from torcd.scheduler.commands import Command, Record
from torcd.scheduler.events import WorkflowLoaded
from torcd.store import Store


@pytest.fixture(scope="module", params=[*range(1000, 1008), *range(2000, 2012)])
def history(request: pytest.FixtureRequest) -> list[list[Command]]:
    """What a scheduler decided in the simulation, in batches: of many workflows, or, from 2000 on,
    of one that is run again and again."""
    pick = random.Random(request.param).randrange
    if request.param < 2000:
        log = [commands for _, commands in episode(request.param)[0].log]
    else:
        log = again(random.Random(request.param).randrange, 4).log
    batches: list[list[Command]] = [[]]
    for commands in log:
        batches[-1] += commands
        if not pick(6):
            batches.append([])
    return [batch for batch in batches if batch]


async def test_both_load_the_same_after_every_commit(
    history: list[list[Command]], tmp_path: Path
) -> None:
    make_believe = MakeBelieveStore()
    async with Store.open(tmp_path / "torcd.db") as store:
        for batch in history:
            make_believe.commit(batch)
            await store.commit(
                list(records_of(batch)), happenings_of(batch), environments={}, boot_id=BOOT
            )
            assert await store.unfinished() == make_believe.unfinished()
            active = set()
            for key in make_believe.workflows:
                found = await store.load(key)
                assert found is not None
                expected = make_believe.load(key, frozenset(), found.event.at)
                assert found.event == without_data(expected)
                active |= set(found.boot_ids)
            commands = {command.attempt_key for command in make_believe.active_commands()}
            assert active == set(make_believe.active_attempts()) | commands
    told = [happening for batch in history for happening in happenings_of(batch)]
    async with Store.open(tmp_path / "torcd.db") as store:
        counters = store.counters()
        assert (counters.next_key, counters.next_attempt_key, counters.next_happening) == (
            make_believe.next_key,
            make_believe.next_attempt_key,
            make_believe.next_happening,
        )
        assert await store.happenings(1) == told
        for key, saved in make_believe.values.items():
            rows = await store.revisions(key)
            assert [row.value for row in rows] == [one.value.text for one in saved]
            assert [row.attempt_key for row in rows] == [one.attempt_key for one in saved]


def records_of(batch: list[Command]) -> Iterator[Record]:
    for command in batch:
        if isinstance(command, Record):
            yield command


def happenings_of(batch: list[Command]) -> list[Happening]:
    return [command for command in batch if isinstance(command, Happening)]


def without_data(event: WorkflowLoaded) -> WorkflowLoaded:
    """As the store loads it: initial values stay on disk."""
    workflow = event.workflow
    return msgspec.structs.replace(
        event,
        workflow=msgspec.structs.replace(
            workflow,
            user_data=tuple(msgspec.structs.replace(d, data=None) for d in workflow.user_data),
        ),
    )
