"""The power goes at any moment: what was acknowledged is there, and the database is whole."""

import os
import random
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from tests.crash.life_of_a_store import live, missing
from tests.power_cut import Acknowledged, Disk, Recorder, Written
from torcd.errors import StoreError
from torcd.scheduler.sharing import BOUNDLESS
from torcd.store import check, migrate, schema, value_files

COMMITS = 400
"""In one life: enough for several checkpoints (SQLite makes one each 1 000 pages)."""


BROKEN = (StoreError, sqlite3.DatabaseError, msgspec.DecodeError, TypeError)
"""What is said of a database that is none any more, or in which there is something else where a row
was."""


class Campaign:
    """Cuts the power at points of what was recorded, and looks at what is left."""

    def __init__(self, scratch: Path, seed: int, *, marks: bool = True) -> None:
        """`marks`: whether a mark is left beside the database."""
        self._scratch = scratch
        self._marks = marks
        self._dice = random.Random(seed)
        self.found: Counter[str] = Counter()
        self.said: list[str] = []
        """What is wrong, for people."""

    def cut(self, recorder: Recorder, points: Iterable[int], *, twice: bool = False) -> None:
        """At each of these points, and with `twice` again while the next store is at work."""
        disk = Disk(marks=self._marks)
        done = 0
        for point in sorted(points):
            for note in recorder.notes[done:point]:
                disk.take(note)
            done = point
            left = self._scratch / "left"
            left.mkdir()
            disk.cut(left, self._dice)
            if twice:
                self._cut_again(left, disk.acknowledged)
            else:
                self._look_at(left, disk.acknowledged)
            shutil.rmtree(left)

    def _cut_again(self, directory: Path, acknowledged: list[Any]) -> None:
        recorder = recorded(directory, commits=2, seed=self._dice.randint(0, 1000))
        point = self._dice.randint(recorder.begin, len(recorder.notes))
        disk = Disk()
        for note in recorder.notes[:point]:
            disk.take(note)
        left = self._scratch / "left twice"
        left.mkdir()
        disk.cut(left, self._dice)
        self._look_at(left, acknowledged + disk.acknowledged)
        shutil.rmtree(left)

    def _look_at(self, directory: Path, acknowledged: list[Any]) -> None:
        """With Python's own SQLite, as the next daemon would."""
        path = directory / "torcd.db"
        self.found["cuts"] += 1
        try:
            anyio.run(migrate, path)
            problems = [str(problem) for problem in check(path, BOUNDLESS).items]
            lost = missing(path, acknowledged)
        except BROKEN as error:
            problems, lost = [str(error)], []
        self.found["looked for"] += len(acknowledged)
        self.found["lost"] += len(lost)
        self.found["broken"] += bool(problems)
        self.said += [*problems[:3], *map(str, lost[:3])]

    def points(self, recorder: Recorder, count: int) -> set[int]:
        """Half of them anywhere, half while the database's own file is written: checkpoints."""
        notes = recorder.notes
        checkpoints = [
            n
            for n, note in enumerate(notes, start=1)
            if n > recorder.begin and isinstance(note, Written) and note.file == 1
        ]
        assert checkpoints
        return {
            *self._dice.sample(range(recorder.begin, len(notes) + 1), count // 2),
            *self._dice.sample(checkpoints, min(len(checkpoints), count - count // 2)),
        }


def recorded(
    directory: Path, *, commits: int = COMMITS, seed: int = 0, synchronous: str = "FULL"
) -> Recorder:
    """A life of the store, on a disk that is watched; goes on with what the directory has."""
    directory.mkdir(exist_ok=True)
    recorder = Recorder(directory)
    with recorder.installed(synchronous):
        anyio.run(live, directory / "torcd.db", commits, seed, recorder.acknowledge)
    return recorder


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory, where there is room: the disk here is one of pretence, and the real one slow."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="torcd-", dir=memory) as directory:
        yield Path(directory)


@pytest.fixture
def lives(pytestconfig: pytest.Config) -> int:
    return 200 if pytestconfig.getoption("--torture") else 3


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("twice", [False, True], ids=["one cut", "a cut during recovery"])
def test_a_power_cut_takes_nothing_that_was_acknowledged(
    tmp_path: Path, lives: int, twice: bool
) -> None:
    campaign = Campaign(tmp_path, seed=1)
    acknowledged = 0
    for seed in range(lives):
        recorder = recorded(tmp_path / f"{seed}", seed=seed)
        acknowledged += sum(isinstance(note, Acknowledged) for note in recorder.notes)
        campaign.cut(recorder, campaign.points(recorder, 16), twice=twice)
        shutil.rmtree(tmp_path / f"{seed}")
    assert campaign.said == []
    assert (campaign.found["lost"], campaign.found["broken"]) == (0, 0)
    assert campaign.found["cuts"] >= 14 * lives
    assert acknowledged > 1_000
    print(dict(campaign.found), f"acknowledged: {acknowledged}")


def test_a_power_cut_while_the_database_is_made_takes_nothing(tmp_path: Path) -> None:
    """At every point up to the first acknowledgements, and several times at each."""
    campaign = Campaign(tmp_path, seed=2)
    recorder = recorded(tmp_path / "state", commits=2)
    for _ in range(2):
        campaign.cut(recorder, range(recorder.begin, len(recorder.notes) + 1))
    assert campaign.said == []
    assert campaign.found["looked for"] > 0


def test_a_power_cut_during_a_migration_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    before = recorded(state, commits=60)
    acknowledged = [note for note in before.notes if isinstance(note, Acknowledged)]
    now = schema.migrations()
    later = (
        now[-1][0] + 1,
        "ALTER TABLE workflow ADD COLUMN colour TEXT;\n"
        "UPDATE workflow SET colour = 'red';\n"
        "CREATE TABLE more AS SELECT key, definition FROM job;\nDROP TABLE more;",
    )
    monkeypatch.setattr(schema, "migrations", lambda: [*now, later])
    recorder = recorded(state, commits=1)
    recorder.notes[recorder.begin : recorder.begin] = acknowledged
    campaign = Campaign(tmp_path, seed=3)
    begin = recorder.begin + len(acknowledged)
    points = range(begin, len(recorder.notes) + 1)
    campaign.cut(recorder, campaign._dice.sample(points, min(60, len(points))))
    assert campaign.said == []
    assert campaign.found["looked for"] > 0


# That these tests would see it


def test_a_store_that_does_not_sync_its_commits_is_found_out(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, seed=1, marks=False)
    recorder = recorded(tmp_path / "state", synchronous="NORMAL")
    campaign.cut(recorder, campaign.points(recorder, 16))
    assert campaign.found["lost"] > 0
    assert campaign.found["broken"] == 0  # what SQLite promises of NORMAL
    print(dict(campaign.found))


def test_a_store_that_does_not_sync_the_names_of_files_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(value_files, "sync", lambda directory: None)
    campaign = Campaign(tmp_path, seed=1)
    recorder = recorded(tmp_path / "state")
    campaign.cut(recorder, campaign.points(recorder, 16))
    assert campaign.found["lost"] > 0
    print(dict(campaign.found))


def test_a_store_that_does_not_sync_its_checkpoints_is_found_out(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, seed=1, marks=False)
    recorder = recorded(tmp_path / "state", synchronous="OFF")
    campaign.cut(recorder, campaign.points(recorder, 16))
    assert campaign.found["broken"] > 0
    print(dict(campaign.found))
