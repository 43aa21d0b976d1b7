"""What one warden tells is decided together with what the other one has to tell."""

from pathlib import Path

import anyio
import pytest
import structlog

from tests.executor_world import PATIENCE_SECONDS
from torcd.executors.base import Exited, Report
from torcd.executors.local import together
from torcd.executors.local.executor import LocalExecutor
from torcd.executors.local.together import ENOUGH, Together
from torcd.executors.warden.lanes import ENDS_FOR_EACH_THAT_WAITS
from torcd.model import AttemptKey, Timestamp


def report(key: int) -> Report:
    return Exited(AttemptKey(key), 0, Timestamp(0), None, None)


class Warden:
    def __init__(self) -> None:
        self.is_busy = True
        self.asked = 0

    def ask(self) -> None:
        self.asked += 1


class Scene:
    def __init__(self) -> None:
        self.passed_on: list[list[Report]] = []
        self.anything = anyio.Event()
        self.together = Together(self._take)
        self.wardens = [Warden(), Warden()]

    def _take(self, reports: list[Report]) -> None:
        self.passed_on.append(reports)
        self.anything.set()

    def tells(self, number: int, *keys: int, waiting: int | None) -> None:
        self.together.told(
            self.wardens[number],
            [report(key) for key in keys],
            ends=[AttemptKey(key) for key in keys],
            waiting=waiting,
            tellers=self.wardens,
        )

    def acknowledge(self) -> None:
        """All that was passed on is on disk."""
        self.together.acknowledged([key for keys in self.keys for key in keys])

    @property
    def keys(self) -> list[list[int]]:
        """Of what was passed on, each time."""
        return [[one.attempt_key for one in reports] for reports in self.passed_on]

    @property
    def asked(self) -> list[int]:
        return [warden.asked for warden in self.wardens]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(together, "WAIT_SECONDS", 1_000.0)
    return Scene()


MANY = tuple(range(100, 101 + ENDS_FOR_EACH_THAT_WAITS * ENOUGH))


async def test_what_has_gathered_comes_with_what_the_other_one_tells(scene: Scene) -> None:
    for _ in range(2):
        scene.tells(0, 1, waiting=ENOUGH)
        assert scene.keys == []
        scene.tells(1, 2, waiting=ENOUGH)
        assert scene.keys == [[1, 2]]
        scene.acknowledge()
        scene.passed_on.clear()
    assert scene.asked == [0, 0]


async def test_where_many_have_ended_and_few_wait_the_other_one_is_asked(scene: Scene) -> None:
    scene.tells(0, *MANY, waiting=ENOUGH)
    assert scene.keys == []
    assert scene.asked == [0, 1]
    scene.tells(1, 1, waiting=0)  # which is the answer, so nobody is asked again
    assert scene.keys == [[*MANY, 1]]
    assert scene.asked == [0, 1]


async def test_an_answer_without_anything_is_one(scene: Scene) -> None:
    scene.tells(0, *MANY, waiting=ENOUGH)
    scene.tells(1, waiting=ENOUGH)
    assert scene.keys == [[*MANY]]
    scene.acknowledge()
    scene.tells(1, *MANY, waiting=ENOUGH)
    assert scene.asked == [1, 1]


async def test_whose_ends_are_being_decided_is_not_asked_and_nobody_waits_for_it(
    scene: Scene,
) -> None:
    scene.tells(0, 1, 2, waiting=0)
    assert scene.asked == [0, 1]
    scene.tells(1, 3, *MANY, waiting=ENOUGH)
    scene.tells(0, *MANY, waiting=ENOUGH)
    assert scene.asked == [0, 1]
    assert scene.keys == [[1, 2], [3, *MANY], [*MANY]]
    scene.together.acknowledged([AttemptKey(3)])  # not the last one that it has told
    scene.tells(0, *MANY, waiting=ENOUGH)
    assert scene.asked == [0, 1]
    scene.acknowledge()
    scene.tells(0, *MANY, waiting=ENOUGH)
    assert scene.asked == [0, 2]


async def test_who_takes_the_place_of_another_has_told_nothing(scene: Scene) -> None:
    scene.tells(1, 1, waiting=None)
    scene.together.forget(scene.wardens[1])
    scene.tells(0, *MANY, waiting=ENOUGH)
    assert scene.asked == [0, 1]


async def test_an_answer_that_comes_late_without_anything_is_nothing(scene: Scene) -> None:
    scene.tells(0, *MANY, waiting=ENOUGH)
    scene.tells(1, 1, waiting=ENOUGH)  # told before it was asked
    assert scene.keys == [[*MANY, 1]]
    scene.tells(1, waiting=ENOUGH)
    scene.acknowledge()
    scene.tells(0, 2, waiting=ENOUGH)
    assert len(scene.keys) == 1
    scene.tells(1, 3, waiting=ENOUGH)
    assert scene.keys[1:] == [[2, 3]]
    assert scene.asked == [0, 1]


async def test_who_has_not_answered_is_not_asked_again(scene: Scene) -> None:
    scene.tells(0, 1, waiting=0)
    scene.tells(0, 2, waiting=0)
    assert scene.asked == [0, 1]
    scene.together.forget(scene.wardens[1])  # it is another one now
    scene.tells(0, 3, waiting=0)
    assert scene.asked == [0, 2]


async def test_where_a_place_may_be_empty_soon_nothing_waits(scene: Scene) -> None:
    scene.tells(0, 1, waiting=ENOUGH - 1)
    assert scene.keys == [[1]]


async def test_nobody_waits_for_who_has_nothing_to_do(scene: Scene) -> None:
    scene.wardens[1].is_busy = False
    scene.tells(0, *MANY, waiting=ENOUGH)
    assert scene.keys == [[*MANY]]
    assert scene.asked == [0, 0]


async def test_what_a_warden_tells_first_of_all_does_not_wait(scene: Scene) -> None:
    scene.tells(0, 1, waiting=None)
    assert scene.keys == [[1]]
    assert scene.asked == [0, 0]


async def test_what_comes_at_once_takes_along_what_waits(scene: Scene) -> None:
    scene.tells(0, 1, waiting=ENOUGH)
    scene.together.pass_on([report(2)])
    scene.together.pass_on([])
    assert scene.keys == [[1, 2], []]


async def test_nothing_waits_for_long(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "WAIT_SECONDS", 0.0)
    for key in (1, 2):
        scene.tells(0, key, waiting=ENOUGH)
        with anyio.fail_after(PATIENCE_SECONDS):
            await scene.anything.wait()
        scene.anything = anyio.Event()
    assert scene.keys == [[1], [2]]


async def test_who_is_gone_is_told_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "WAIT_SECONDS", 0.0)
    scene.tells(0, 1, waiting=ENOUGH)
    scene.together.close()
    for _ in range(3):
        await anyio.lowlevel.checkpoint()
    assert not scene.keys


def test_what_the_executor_hears_to_be_on_disk_is_decided(tmp_path: Path) -> None:
    executor = LocalExecutor(tmp_path, log=structlog.get_logger())
    [supervisor] = executor._supervisors
    executor._together.told(
        supervisor.orders, [report(1)], ends=[AttemptKey(1)], waiting=None, tellers=[]
    )
    executor.acknowledge([AttemptKey(2)])
    assert executor._together._undecided
    executor.acknowledge([AttemptKey(1)])
    assert not executor._together._undecided
