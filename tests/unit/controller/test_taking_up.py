"""What ended while no daemon was there, told to the next one before it knows what it is about."""

from pathlib import Path

import anyio
import pytest

from tests.unit.controller.still_life import StillLife, still_life
from torcd.controller.layout import Layout
from torcd.executors.base import Exited
from torcd.model import AttemptKey, DataKey, JobStatus, Timestamp, WorkflowKey

SPEC = b"""
{
  "jobs": [{"name": "j", "command": "true", "output_user_data": ["v"]}],
  "user_data": [{"name": "v"}]
}
"""

ATTEMPT = AttemptKey(1)

EXITED = Exited(ATTEMPT, 0, Timestamp(1), None, None)


def leave_an_output(state_dir: Path) -> None:
    output = Path(Layout(str(state_dir)).output(ATTEMPT))
    output.parent.mkdir(exist_ok=True)
    output.write_text("v=42\n")


async def test_what_is_told_before_anything_is_loaded_counts(tmp_path: Path) -> None:
    leave_an_output(tmp_path)
    async with still_life(tmp_path) as world:
        await world.submit(SPEC)
        assert [order.attempt_key for order in world.executor.ordered] == [ATTEMPT]
    async with still_life(tmp_path, reports_at_once=[EXITED]) as world:
        node = world.controller.scheduler.workflows[WorkflowKey(1)]
        with anyio.fail_after(5):
            await _until_acknowledged(world)
        assert node.counts[JobStatus.COMPLETED] == 1
        row = await world.store.value(DataKey(3))
        assert row is not None
        assert row.value == b"42"


async def test_nothing_is_acknowledged_that_is_not_on_disk(tmp_path: Path) -> None:
    async with still_life(tmp_path) as world:
        await world.submit(SPEC)

    class FullDiskError(Exception):
        pass

    async def fail() -> None:
        raise FullDiskError

    acknowledged = []
    with pytest.raises(BaseExceptionGroup) as failure:  # noqa: PT012 - the block is the daemon
        async with still_life(tmp_path, [EXITED], before_commit=fail) as world:
            acknowledged = world.executor.acknowledged
            await anyio.sleep_forever()
    assert failure.group_contains(FullDiskError)
    assert acknowledged == []


async def _until_acknowledged(world: StillLife) -> None:
    while ATTEMPT not in world.executor.acknowledged:
        await world.controller.settled()
        await anyio.lowlevel.checkpoint()
