"""Attempts for which the disk has no room wait, for as long as it takes."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.executors.orders import order
from tests.unit.executors.test_journal import full_disk, opened
from torcd.executors.warden import processes, reaping, spawning, starting
from torcd.executors.warden.as_user import Problem
from torcd.executors.warden.attempts import Attempts
from torcd.executors.warden.cleaning import Cleaner
from torcd.executors.warden.journal import Journal
from torcd.executors.warden.ledger import QUEUED, Order
from torcd.executors.warden.orphans import Orphans
from torcd.executors.warden.others import Others


class Scene:
    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.journal = opened(directory)
        self.spawned: list[str | None] = []
        self.log_disk_is_full = False
        self.marker: int | None = None
        """That this process would wear."""
        monkeypatch.setattr(starting, "NO_ROOM_TRIES", 0)
        for module in (starting, reaping):
            monkeypatch.setattr(module, "FULL_DISK_SECONDS", -1.0)
        monkeypatch.setattr(spawning, "spawn", self._spawn)
        monkeypatch.setattr(spawning, "has_room_for", lambda log: not self.log_disk_is_full)
        monkeypatch.setattr(processes, "markers_possible", lambda: True)
        monkeypatch.setattr(processes, "wear_marker", self._wear)
        monkeypatch.setattr(processes, "take_marker_off", lambda: self._wear(None))
        cleaner = Cleaner(7, True, False, Others(str(directory)))
        self.attempts = Attempts(7, self.journal, cleaner, Orphans(None), None)  # type: ignore[arg-type]

    def _spawn(self, order: Order) -> int:
        if self.log_disk_is_full:
            raise spawning.DiskFull(order.stdout or "", OSError(28, "No space left on device"))
        self.spawned.append(order.stdout)
        return 1_000_000 + len(self.spawned)

    def _wear(self, marker: int | None) -> None:
        self.marker = marker

    def order(self, key: int) -> None:
        self.attempts.order(key, 1, 4, order("true", key=key, stdout=f"/logs/{key}"))

    def turn(self) -> None:
        """Of the warden's loop, in which nothing is held back."""
        self.attempts.settle()
        self.attempts.write_down()

    def claims(self) -> list[int]:
        return list(Journal(str(self.directory), "b", 7).read().entries)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    directory = os.getcwd()
    yield Scene(tmp_path, monkeypatch)
    os.chdir(directory)


def test_without_room_in_the_journal_nothing_is_spawned_and_nothing_fails(scene: Scene) -> None:
    scene.order(1)
    with full_disk(scene.journal._size):
        for _ in range(5):
            scene.turn()
    assert scene.spawned == []
    assert scene.attempts.reports == []
    assert str(scene.directory) in scene.attempts.starter.held_up
    scene.turn()
    assert scene.spawned == ["/logs/1"]
    assert scene.attempts.starter.held_up == ""


def test_without_room_for_a_log_it_is_given_back_once_and_tried_again_in_order(
    scene: Scene,
) -> None:
    scene.log_disk_is_full = True
    scene.order(1)
    scene.order(2)
    for _ in range(5):
        scene.turn()
    assert scene.attempts.reports == []
    assert scene.claims() == []
    assert "/logs/1" in scene.attempts.starter.held_up
    size = scene.journal._size
    scene.turn()
    assert scene.journal._size == size, "each try takes more of the disk"
    scene.log_disk_is_full = False
    scene.turn()
    assert scene.spawned == ["/logs/1", "/logs/2"]
    assert scene.claims() == [1, 2]
    assert scene.attempts.starter.held_up == ""


def test_one_that_waits_for_room_is_nobody_s_by_marker(scene: Scene) -> None:
    scene.order(1)
    scene.turn()
    assert scene.marker == processes.marker(7, 1)
    scene.log_disk_is_full = True
    scene.order(2)
    scene.turn()
    assert scene.marker is None


def test_one_that_never_became_its_program_and_waits_again_is_nobody_s_by_marker(
    scene: Scene,
) -> None:
    scene.order(1)
    scene.turn()
    leaders = scene.attempts._leaders
    attempt = leaders.popitem()[1]
    attempt.pid = os.posix_spawn("/bin/true", ["true"], {})
    leaders[attempt.pid] = attempt
    scene.attempts.starter.never_started(attempt, Problem("no room", may_pass=True, counts=True))
    assert attempt.state == QUEUED
    assert scene.marker is None


def test_one_that_waits_for_room_is_not_withdrawn_before_its_claim_is_taken_back(
    scene: Scene,
) -> None:
    scene.log_disk_is_full = True
    scene.order(1)
    scene.attempts.settle()
    with full_disk(scene.journal._size):
        assert scene.attempts.withdraw([1]) == []
    assert scene.claims() == [1]
    assert scene.attempts.withdraw([1]) == [1]
    assert scene.claims() == []
    scene.log_disk_is_full = False
    scene.turn()
    assert scene.spawned == []


def test_what_is_revoked_while_it_is_held_up_leaves_nothing_held_up(scene: Scene) -> None:
    scene.log_disk_is_full = True
    scene.order(1)
    scene.turn()
    scene.attempts.revoke(1)
    scene.turn()
    assert scene.attempts.starter.held_up == ""
    assert [line.split(",")[0] for line in scene.attempts.reports] == ['["not_started"']


def test_a_log_s_directory_is_made_by_who_has_room_for_it(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "1" / "2.1.1.out"
    pid = spawning.spawn(order("true", stdout=log))
    os.waitpid(pid, 0)
    assert log.exists()
    assert log.parent.stat().st_mode & 0o777 == 0o700
