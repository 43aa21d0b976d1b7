"""The warden on a disk that is really full: it claims nothing, and forgets no status."""

import os
import signal
from collections.abc import Iterator

import anyio
import anyio.lowlevel
import pytest

from tests.executor_process import RemoteExecutor
from tests.executor_world import PATIENCE_SECONDS, SilentLog, World, gone
from tests.full_disk import SmallDisk, private_mounts
from torcd.executors.base import Exited
from torcd.executors.local import LocalExecutor
from torcd.executors.local import supervisor as supervisor_module
from torcd.executors.warden import processes


@pytest.fixture
def disk(world: World) -> Iterator[SmallDisk]:
    """That of the warden's journal."""
    with private_mounts() as mount:
        yield mount(world.directory / "state" / "attempts", 4 << 20)


def use_up_the_page(world: World, disk: SmallDisk) -> None:
    """The journal's last page has room for some lines more, on a disk that is full."""
    disk.fill()
    journal = disk.path / "warden.journal"
    size = journal.stat().st_size
    with journal.open("ab", buffering=0) as file:
        line = b'["returned", []]\n'
        padding = -size % 4096
        while padding >= 2 * len(line):
            padding -= file.write(line)
        file.write(line[:-2] + b" " * (padding - len(line)) + line[-2:])


async def test_an_end_that_cannot_be_written_down_stays_in_the_kernel_until_it_can(
    world: World, disk: SmallDisk
) -> None:
    executor = RemoteExecutor(world.directory / "state")
    async with world.running(executor):
        world.start(1, f"read < {world.gate('gate')}; exit 7")
        pid = (await world.start_of(1)).pid
        use_up_the_page(world, disk)
        await world.gate("gate").say()
        await gone(pid)
        # Others are served meanwhile, so the warden has had its chance.
        world.start(2, "true")
        executor.stop(2, None)  # type: ignore[arg-type]
        await world.end_of(2)
        process = processes.read_process(pid)
        assert process is not None
        assert process.over
        assert 1 not in world.finals
        os.kill(await executor.warden(), signal.SIGKILL)
        disk.make_room()
        assert await world.code_of(1) == 7


async def test_what_cannot_be_claimed_is_not_started_and_is_when_there_is_room(
    world: World, disk: SmallDisk
) -> None:
    executor = RemoteExecutor(world.directory / "state")
    async with world.running(executor):
        world.start(1, "true")
        assert await world.code_of(1) == 0
        executor.acknowledge([1])  # type: ignore[list-item]
        use_up_the_page(world, disk)
        for key in (2, 3):
            world.start(key, f"echo {key} >> {world.directory}/ran")
        executor.revoke(3)  # type: ignore[arg-type]
        await world.end_of(3)
        assert world.log_of("ran") == []
        assert 2 not in world.started
        disk.make_room()
        end = await world.end_of(2)
        assert isinstance(end, Exited)
        assert world.log_of("ran") == ["2"]


class Log(SilentLog):
    def __init__(self) -> None:
        self.has_error = anyio.Event()

    def error(self, event: str, **facts: object) -> None:
        self.has_error.set()


async def test_a_warden_that_finds_no_room_for_its_journal_is_tried_again_until_there_is(
    world: World, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "FAILURES", 1)
    monkeypatch.setattr(supervisor_module, "NO_ROOM_SECONDS", 0.01)
    log = Log()
    executor = LocalExecutor(world.directory / "state", log=log)
    async with world.running(executor):
        world.start(1, f"read < {world.gate('gate')}; exit 7")
        pid = (await world.start_of(1)).pid
        disk.fill()
        assert executor.warden_pid is not None
        os.kill(executor.warden_pid, signal.SIGKILL)
        with anyio.fail_after(PATIENCE_SECONDS):
            await log.has_error.wait()
        assert str(disk.path) in (executor.held_up or "")
        await world.gate("gate").say()
        await gone(pid)
        assert not world.finals
        disk.make_room()
        assert await world.code_of(1) == 7
        assert executor.held_up is None
