"""Room that is kept in the log for what is urgent, on disks that are really full."""

import asyncio
import ctypes
import errno
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.full_disk import SmallDisk, private_mounts
from tests.store_world import BOOT, create, data_key, save_value
from torcd.errors import NoSpace
from torcd.store import Store, reserve, schema

DISK_BYTES = 24 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with private_mounts() as mount:
        yield mount(tmp_path / "small", DISK_BYTES)


async def store_value(store: Store, revision: int, size: int, *, is_urgent: bool = False) -> None:
    await store.commit(
        [save_value(data_key(create()), revision, b'"%b"' % (b"x" * size))],
        [],
        environments={},
        boot_id=BOOT,
        is_urgent=is_urgent,
    )


async def fill(store: Store, disk: SmallDisk) -> int:
    """To the last byte that anybody can have. The revision that was refused."""
    disk.fill()
    for revision in range(1, 1_000):
        try:
            await store_value(store, revision, 3_000)
        except NoSpace:
            return revision
    raise AssertionError("the disk does not get full")


async def has_room(store: Store, revision: int, size: int) -> bool:
    """For something urgent, which takes it."""
    try:
        await store_value(store, revision, size, is_urgent=True)
    except NoSpace:
        return False
    return True


async def test_what_is_urgent_has_room_for_as_much_as_is_kept(disk: SmallDisk) -> None:
    async with Store.open(disk.path / "torcd.db") as store:
        await store.commit([create()], [], environments={}, boot_id=BOOT)
        revision = await fill(store, disk)
        size, kept = 500_000, 0
        while await has_room(store, revision + kept, size):
            kept += 1
        assert kept * size > reserve.RESERVE_BYTES * 0.75
        # Where a large one has no room, a small one may have some.
        await store_value(store, revision + kept, 10, is_urgent=True)
        disk.make_room()
        await store_value(store, revision + kept + 1, size)


async def test_a_large_write_is_refused_before_it_takes_what_is_kept(disk: SmallDisk) -> None:
    async with Store.open(disk.path / "torcd.db") as store:
        await store.commit([create()], [], environments={}, boot_id=BOOT)
        disk.fill()
        for size in (3_000_000, 10_000_000):
            with pytest.raises(NoSpace):
                await store_value(store, 1, size)
        for n in range(30):
            await store_value(store, 1 + n, 100_000, is_urgent=True)


async def test_it_is_kept_again_after_the_log_was_cut_back(
    disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "WAL_LIMIT_BYTES", 1 << 20)
    async with Store.open(disk.path / "torcd.db") as store:
        await store.commit([create()], [], environments={}, boot_id=BOOT)
        log = disk.path / "torcd.db-wal"
        sizes = []
        for revision in range(1, 9):
            await store_value(store, revision, 1_000_000 if revision < 5 else 10)
            sizes.append(log.stat().st_size)
        assert sizes[-1] < max(sizes)
        assert log.stat().st_blocks * 512 >= sizes[-1] + reserve.RESERVE_BYTES


def test_on_a_full_disk_that_copies_it_is_kept_and_nobody_is_killed(tmp_path: Path) -> None:
    """In a process of its own: it would die of SIGBUS."""

    async def live(disk: SmallDisk) -> None:
        async with Store.open(disk.path / "torcd.db") as store:
            await store.commit([create()], [], environments={}, boot_id=BOOT)
            revision = await fill(store, disk)
            for n in range(20):
                await store_value(store, revision + n, 100_000, is_urgent=True)

    with private_mounts() as mount:
        disk = mount(tmp_path / "small", 0, btrfs=tmp_path / "image")
        process = multiprocessing.get_context("fork").Process(
            target=lambda: asyncio.run(live(disk))
        )
        process.start()
        process.join()
        assert process.exitcode == 0


async def test_where_blocks_cannot_be_kept_all_else_is_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_here(*_: int) -> int:
        ctypes.set_errno(errno.EOPNOTSUPP)
        return -1

    monkeypatch.setattr(reserve, "_fallocate", not_here)
    async with Store.open(tmp_path / "torcd.db") as store:
        await store.commit([create()], [], environments={}, boot_id=BOOT)
        await store_value(store, 1, 10)
        assert (tmp_path / "torcd.db-wal").stat().st_blocks * 512 < reserve.RESERVE_BYTES


async def test_a_database_that_is_closed_leaves_nothing_of_it_behind(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "torcd.db") as store:
        await store.commit([create()], [], environments={}, boot_id=BOOT)
        assert (tmp_path / "torcd.db-wal").stat().st_blocks * 512 >= reserve.RESERVE_BYTES
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "torcd.db",
        "torcd.db-lock",
        "torcd.db-mark",
        "torcd.db-values",
    ]
