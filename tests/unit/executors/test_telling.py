"""When the daemon is told at once, and when reports gather."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torcd.executors.warden import processes, spawning
from torcd.executors.warden.attempts import Attempts
from torcd.executors.warden.following import PATIENCE_SECONDS
from torcd.executors.warden.journal import Journal
from torcd.executors.warden.ledger import ENDING, OVER, QUEUED, RUNNING, Attempt, Order, exited
from torcd.executors.warden.orphans import Orphans
from torcd.executors.warden.warden import GATHER_SECONDS, LEAST_GATHER_SECONDS, telling_time


class Ends:
    """A cleaner that finds nothing left of the attempts it is given."""

    due = None

    def __init__(self) -> None:
        self.over: list[Attempt] = []

    def clean(self, leaders: dict[int, Attempt]) -> list[Attempt]:
        over, self.over = self.over, []
        for attempt in over:
            del leaders[attempt.pid]
        return over


class Scene:
    def __init__(self, directory: Path) -> None:
        self.journal = journal = Journal(str(directory), "boot", 7, "")
        journal.rewrite([])
        self._ends = Ends()
        self.attempts = Attempts(7, journal, self._ends, Orphans(None), None)  # type: ignore[arg-type]

    def order(self, key: int, lane: int, after: int | None = None) -> None:
        facts = {"argv": ["x"], "env": {}, "cwd": "/", "stdout": None, "stderr": None}
        if after is not None:
            facts["after"] = (after, "/nowhere")
        self.attempts.order(key, lane, 1, Order(facts, {}))  # type: ignore[arg-type]

    def tell(self) -> list[str]:
        """The daemon takes the reports, and has what they say on disk."""
        reports = self.attempts.take_reports()
        self.attempts.acknowledge([int(line.split(",")[1]) for line in reports])
        return reports

    def end(self, key: int) -> None:
        self.attempts._known[key].final = exited(key, 0, 1)
        self._ends.over.append(self.attempts._known[key])
        self.attempts.settle()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    pids = iter(range(1_000_000, 2_000_000))
    monkeypatch.setattr(spawning, "spawn", lambda *order: next(pids))
    monkeypatch.setattr(processes, "wear_marker", lambda marker: None)
    monkeypatch.setattr("os.chdir", lambda path: None)
    scene = Scene(tmp_path)
    for key, lane in ((1, 1), (2, 1), (3, 1), (4, 2)):
        scene.order(key, lane)
    scene.attempts.settle()
    return scene


def test_reports_gather_while_somebody_waits_for_each_place(scene: Scene) -> None:
    scene.end(1)
    assert not scene.attempts.urgent


def test_a_place_that_becomes_empty_is_told_at_once_however_busy_other_lanes_are(
    scene: Scene,
) -> None:
    scene.end(4)
    assert scene.attempts.urgent


def test_it_is_told_at_once_that_several_times_as_many_have_ended_as_wait(scene: Scene) -> None:
    for key in (5, 6, 7):
        scene.order(key, 1)
    for key in (1, 2, 3):
        scene.end(key)
        assert not scene.attempts.urgent
    scene.end(5)  # the fourth, and one waits
    assert scene.attempts.urgent


def test_nothing_more_is_told_before_what_was_is_acknowledged(scene: Scene) -> None:
    scene.end(1)
    scene.attempts.take_reports()
    for key in range(5, 12):
        scene.order(key, 1)
    for key in (2, 3, *range(5, 10)):
        scene.end(key)
    assert scene.attempts.waiting == 1
    assert not scene.attempts.urgent
    scene.end(10)
    assert scene.attempts.waiting == 0
    assert not scene.attempts.urgent
    scene.attempts.acknowledge([1])
    assert scene.attempts.urgent


def test_it_is_the_last_end_that_was_told_which_is_to_be_acknowledged(scene: Scene) -> None:
    for key in (5, 6):
        scene.order(key, 2)
    for key in (4, 1):
        scene.end(key)
    scene.attempts.take_reports()
    for key in (2, 3, 5):
        scene.end(key)
    scene.attempts.take_reports()
    scene.order(7, 1)
    scene.end(6)
    scene.attempts.has_empty_place = False
    for acknowledged in ([4, 1, 2], [3]):
        scene.attempts.acknowledge(acknowledged)
        assert scene.attempts.awaits_decision
    scene.attempts.acknowledge([5])
    assert not scene.attempts.awaits_decision


def test_a_place_that_becomes_empty_waits_for_no_acknowledgement(scene: Scene) -> None:
    scene.end(1)
    scene.attempts.take_reports()
    scene.end(4)
    assert scene.attempts.urgent


def test_what_was_told_does_not_count_again(scene: Scene) -> None:
    for key in (5, 6, 7):
        scene.order(key, 1)
    for key in (1, 2, 3):
        scene.end(key)
    scene.attempts.take_reports()
    scene.end(5)
    assert not scene.attempts.urgent


def test_the_last_report_is_told_at_once(scene: Scene) -> None:
    scene.end(1)
    scene.end(2)
    assert scene.attempts.urgent


def test_a_start_is_not_urgent_for_its_end_may_be_told_with_it(scene: Scene) -> None:
    scene.attempts.take_reports()
    for key in (1, 2, 4):
        scene.end(key)
    scene.attempts.take_reports()
    assert scene.attempts.reports == []
    scene.order(5, 3)
    scene.attempts.settle()
    assert [line.split(",")[0] for line in scene.attempts.reports] == ['["started"']
    assert not scene.attempts.urgent
    scene.end(5)
    assert scene.attempts.urgent
    assert len(scene.attempts.take_reports()) == 2
    assert not scene.attempts.urgent


def test_reports_gather_while_somebody_is_to_come_after_what_runs(scene: Scene) -> None:
    for key in (1, 2, 3, 4):
        scene.end(key)
    scene.order(5, 3)
    scene.order(6, 3, after=5)
    scene.order(7, 3, after=6)
    scene.attempts.settle()
    scene.tell()
    scene.end(5)
    assert not scene.attempts.urgent
    scene.end(6)
    assert scene.attempts.urgent  # nobody comes after the one that runs now
    told = [line.split(",")[:2] for line in scene.attempts.take_reports()]
    assert told == [
        ['["exited"', "5"],
        ['["started"', "6"],
        ['["exited"', "6"],
        ['["started"', "7"],
    ]


def test_one_that_is_taken_out_before_its_turn_leaves_the_lane_of_others_alone(
    scene: Scene,
) -> None:
    for key in (1, 2, 3, 4):
        scene.end(key)
    orphan = Attempt(5, None, None)  # an earlier warden's, whose lane nobody knows
    orphan.state = ENDING
    scene.attempts._known[5] = orphan
    scene.order(6, 3, after=5)
    scene.order(7, 3)
    scene.attempts.settle()
    scene.end(7)
    for key in (8, 9):
        scene.order(key, 3)
    scene.attempts.settle()
    scene.attempts.revoke(6)
    scene.attempts.settle()
    scene.end(8)
    scene.attempts.settle()
    scene.end(9)
    scene.attempts.settle()
    assert scene.attempts._known[9].state == OVER


def test_one_whose_lane_was_empty_while_it_waited_shares_its_places_with_others(
    scene: Scene,
) -> None:
    for key in (1, 2, 3, 4):
        scene.end(key)
    orphan = Attempt(5, None, None)  # an earlier warden's, whose lane nobody knows
    orphan.state, orphan.final = ENDING, exited(5, 0, 1)
    scene.attempts._known[5] = orphan
    scene.order(6, 3, after=5)
    scene.order(7, 3)
    scene.attempts.settle()
    scene.end(7)
    scene.order(8, 3)
    scene.attempts.settle()
    scene.attempts._over(orphan)
    scene.attempts.settle()
    assert scene.attempts._known[6].state == QUEUED
    scene.end(8)
    assert scene.attempts._known[6].state == RUNNING


def test_a_successor_tells_how_one_ended_before_what_came_after_it(scene: Scene) -> None:
    for key in (1, 2, 3, 4):
        scene.end(key)
    scene.attempts.acknowledge([1, 2, 3, 4])
    scene.order(5, 3)
    scene.order(6, 3, after=5)
    scene.attempts.settle()
    scene.end(5)
    scene.attempts.rewrite_journal()
    assert list(scene.journal.read().entries) == [5, 6]


def test_what_waits_for_another_for_long_is_given_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in (1, 2, 3, 4):
        scene.end(key)
    scene.order(5, 3)
    scene.order(6, 3, after=5)
    scene.order(7, 3, after=6)
    scene.attempts.settle()
    assert scene.attempts.due is not None
    scene.attempts.take_reports()
    later = time.monotonic() + PATIENCE_SECONDS
    monkeypatch.setattr("time.monotonic", lambda: later)
    scene.attempts.settle()
    told = [line.split(",")[:2] for line in scene.attempts.take_reports()]
    assert told == [['["not_started"', " 6"], ['["not_started"', " 7"]]
    assert scene.attempts.due is None


def test_what_waits_for_one_that_is_withdrawn_is_not_waited_for(scene: Scene) -> None:
    scene.order(5, 3)
    scene.order(6, 3)
    scene.order(7, 3, after=6)
    scene.order(8, 3, after=5)
    scene.attempts.settle()
    scene.attempts.take_reports()
    assert scene.attempts.withdraw([6, 8]) == [6, 8]
    scene.attempts.settle()
    assert scene.attempts.due is None
    assert [line.split(",")[:2] for line in scene.attempts.take_reports()] == [
        ['["not_started"', " 7"]
    ]
    scene.order(8, 3)
    scene.end(5)
    assert scene.attempts._known[8].state == RUNNING


def test_the_end_of_the_last_is_told_at_once_if_others_were_withdrawn(scene: Scene) -> None:
    for key in (1, 2, 3):
        scene.end(key)
    scene.order(5, 2)
    scene.order(6, 2, after=4)
    scene.attempts.take_reports()
    assert scene.attempts.withdraw([5, 6]) == [5, 6]
    scene.end(4)
    assert scene.attempts.has_empty_place
    assert scene.attempts.urgent


def test_that_a_place_is_free_for_another_warden_is_told_at_once(scene: Scene) -> None:
    scene.attempts.share(3, 2)
    for key in range(5, 10):
        scene.order(key, 3)
    scene.attempts.settle()
    scene.end(5)
    assert not scene.attempts.urgent
    scene.attempts.share(3, 1)
    scene.end(6)
    assert scene.attempts.urgent
    scene.attempts.take_reports()
    scene.end(7)
    assert not scene.attempts.urgent


@given(st.floats(0.0, 1e7), st.floats(0.0, GATHER_SECONDS))
def test_reports_wait_for_an_instant_that_all_wardens_share(now: float, later: float) -> None:
    at = telling_time(now)
    # A float that counts seconds of months tells nanoseconds.
    assert at / GATHER_SECONDS == pytest.approx(round(at / GATHER_SECONDS), abs=1e-6)
    assert LEAST_GATHER_SECONDS - 1e-6 <= at - now <= LEAST_GATHER_SECONDS + GATHER_SECONDS + 1e-6
    assert telling_time(now + later) in (at, pytest.approx(at + GATHER_SECONDS))
