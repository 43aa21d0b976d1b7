"""A controller whose database has no room, for as long as a test wants."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from tests.unit.controller.still_life import HeldStore, StillLife, still_life
from torcd import disk, errors, value
from torcd.controller import room as room_module
from torcd.executors.base import Report
from torcd.model import AttemptKey, DataKey, JobKey, Timestamp, WorkflowKey
from torcd.scheduler import events as e

KEY = WorkflowKey(1)
SPEC = b"""
{
  "jobs": [
    {"name": "a", "command": "true"},
    {"name": "b", "command": "true", "depends_on": ["a"]}
  ],
  "user_data": [{"name": "v"}]
}
"""
A, B, V = JobKey(2), JobKey(3), DataKey(4)
FIRST = AttemptKey(1)


class Disk:
    def __init__(self, path: str) -> None:
        self._path = path
        self.is_full = False
        self.has_reserve = False
        self.refused = 0
        self.looks = 0
        """How often somebody looked whether there is room."""
        self.store: HeldStore | None = None

    def has_room(self, *_: object) -> bool:
        self.looks += 1
        return not self.is_full

    async def before_commit(self) -> None:
        is_urgent = self.store is not None and self.store.is_urgent
        if self.is_full and not (is_urgent and self.has_reserve):
            self.refused += 1
            raise disk.no_space(self._path, "the database")


class Scene:
    def __init__(self, world: StillLife, disk: Disk) -> None:
        self.world = world
        self.disk = disk
        self.controller = world.controller

    async def stand_still(self, event: e.Event | None = None) -> None:
        """Have the disk full, and found full by a request."""
        self.disk.is_full = True
        with pytest.raises(errors.NoSpace):
            await self.controller.request(event or store(b"1"))
        assert self.controller.shortage is not None

    async def make_room(self) -> None:
        self.disk.is_full = False
        with anyio.fail_after(5):
            await self.controller.moving()
            await self.controller.settled()

    def report(self, *reports: Report) -> None:
        self.world.executor.report(list(reports))


@asynccontextmanager
async def scene(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_full: bool = False
) -> AsyncIterator[Scene]:
    full = Disk(str(tmp_path / "torcd.db"))
    full.is_full = is_full
    monkeypatch.setattr(room_module, "PROBE_SECONDS", 0.001)
    monkeypatch.setattr(disk, "has_room", full.has_room)
    async with still_life(tmp_path, before_commit=full.before_commit) as world:
        full.store = world.store
        yield Scene(world, full)


def store(text: bytes) -> e.StoreRequested:
    return e.StoreRequested(
        workflow_key=KEY,
        data_key=V,
        value=value.parse(text, name="v"),
        attempt_key=None,
        at=Timestamp(10),
    )


def cancel(*jobs: JobKey) -> e.CancelRequested:
    """Nothing named: the workflow."""
    return e.CancelRequested(workflow_key=KEY, jobs=jobs or None, at=Timestamp(40))


def disable(*jobs: JobKey) -> e.DisableRequested:
    return e.DisableRequested(
        workflow_key=KEY, jobs=jobs, absent_files=frozenset(), at=Timestamp(40)
    )
