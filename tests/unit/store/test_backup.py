"""Backups: whole or not there, of a store at work; and what restoring one means."""

import os
import shutil
import stat
import threading
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from tests.store_world import (
    add_attempt,
    commit,
    create,
    data_key,
    looking_at,
    save_value,
    save_workflow,
)
from torcd.errors import StoreError
from torcd.model import WorkflowKey, WorkflowStatus
from torcd.scheduler.sharing import BOUNDLESS
from torcd.store import NO_BOOT, Store, back_up, check, copying, restore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "torcd.db"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups" / "torcd.db"


async def submitted(path: Path, count: int = 1) -> list[WorkflowKey]:
    async with Store.open(path) as store:
        for _ in range(count):
            await commit(store, create(store_key(path)))
        return [row.key for row in await store.workflows()]


def store_key(path: Path) -> int:
    with looking_at(path) as connection:
        return int(connection.execute("SELECT next_key FROM meta").fetchone()[0])


def workflows(path: Path) -> list[int]:
    with looking_at(path) as connection:
        return [key for (key,) in connection.execute("SELECT key FROM workflow ORDER BY key")]


async def test_a_backup_of_a_store_at_work_has_what_is_in_its_log(path: Path, target: Path) -> None:
    async with Store.open(path) as store:
        await commit(store, create())
        size = await to_thread.run_sync(lambda: back_up(path, target))
        await commit(store, create(6))
    assert workflows(target) == [1]
    assert size.size_bytes == target.stat().st_size
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert os.listdir(target.parent) == ["torcd.db"]


async def test_backups_made_while_batches_are_written_are_all_whole(
    path: Path, target: Path
) -> None:
    """Each batch raises two values together; no backup has them apart."""
    over = threading.Event()
    counts: list[int] = []

    def back_up_again_and_again() -> None:
        while len(counts) < 5:
            back_up(path, target, overwrite=True)
            assert check(target, BOUNDLESS).items == ()
            with looking_at(target) as connection:
                a, b = connection.execute(
                    "SELECT count(*), sum(data_key = 5) FROM revision"
                ).fetchone()
            assert a == 2 * (b or 0)
            counts.append(a)
        over.set()

    async with Store.open(path) as store, anyio.create_task_group() as tasks:
        creation = create(n_data=2)
        await commit(store, creation)
        tasks.start_soon(to_thread.run_sync, back_up_again_and_again)
        n = 0
        while not over.is_set():
            n += 1
            await commit(
                store,
                save_value(data_key(creation, 1), n, b"1"),
                save_value(data_key(creation, 2), n, b"1"),
            )
    assert counts == sorted(counts)


async def test_a_backup_is_on_disk_before_it_has_its_name(
    path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await submitted(path)
    steps: list[str] = []
    real_fsync, real_link = os.fsync, os.link

    def fsync(descriptor: int) -> None:
        steps.append("sync " + Path(os.readlink(f"/proc/self/fd/{descriptor}")).suffix)
        real_fsync(descriptor)

    def link(*names: Path) -> None:
        steps.append("name")
        real_link(*names)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    back_up(path, target)
    assert steps == ["sync .part", "name", "sync "]


async def test_a_file_that_is_there_is_replaced_only_when_told(path: Path, target: Path) -> None:
    await submitted(path)
    target.write_text("precious")
    with pytest.raises(StoreError, match="--force"):
        back_up(path, target)
    assert target.read_text() == "precious"
    back_up(path, target, overwrite=True)
    assert workflows(target) == [1]


async def test_a_backup_that_fails_leaves_what_was_there(
    path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await submitted(path)
    target.write_text("precious")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(copying, "_copy", fail)
    with pytest.raises(StoreError, match=f"{target}: No space left on device"):
        back_up(path, target, overwrite=True)
    assert target.read_text() == "precious"
    assert os.listdir(target.parent) == ["torcd.db"]


async def test_the_database_is_no_place_for_its_backup(path: Path, target: Path) -> None:
    await submitted(path)
    target.symlink_to(path)
    for name in (path, target):
        with pytest.raises(StoreError, match="it is the database itself"):
            back_up(path, name, overwrite=True)
    with pytest.raises(StoreError, match="it is a directory"):
        back_up(path, target.parent, overwrite=True)
    assert workflows(path) == [1]


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-lock", "-mark"])
async def test_no_part_of_a_database_at_work_is_replaced(path: Path, suffix: str) -> None:
    part = path.with_name(path.name + suffix)
    async with Store.open(path) as store:
        await commit(store, create())
        was = part.stat().st_ino
        with pytest.raises(StoreError, match="it is a part of the database"):
            back_up(path, part, overwrite=True)
        assert part.stat().st_ino == was
    part.unlink(missing_ok=True)
    with pytest.raises(StoreError, match="it is a part of the database"):
        back_up(path, part)


async def test_what_is_no_file_is_not_replaced(path: Path, target: Path) -> None:
    await submitted(path)
    os.mkfifo(target)
    with pytest.raises(StoreError, match="it is no regular file"):
        back_up(path, target, overwrite=True)
    assert stat.S_ISFIFO(target.stat().st_mode)


async def test_damage_is_not_backed_up(path: Path, target: Path) -> None:
    await submitted(path, 40)
    whole = path.read_bytes()
    path.write_bytes(whole[: 4096 * 8] + bytes(4096 * 4) + whole[4096 * 12 :])
    with pytest.raises(StoreError, match="it is damaged"):
        back_up(path, target)
    assert os.listdir(target.parent) == []


def test_without_a_database_there_is_no_backup(path: Path, target: Path) -> None:
    with pytest.raises(StoreError, match="there is no database"):
        back_up(path, target)
    assert os.listdir(target.parent) == []
    assert not path.parent.exists()


# Restoring


async def a_backup_and_what_came_after(path: Path, target: Path) -> None:
    """In the backup: 1 with an attempt at work, 6 over. After it: 11 and 16."""
    async with Store.open(path) as store:
        await commit(store, create(), add_attempt(1, 2))
        await commit(store, create(6), save_workflow(6, WorkflowStatus.COMPLETED))
        await to_thread.run_sync(lambda: back_up(path, target))
        await commit(store, create(11), create(16), add_attempt(7, 12, workflow_key=11))


async def test_a_restored_backup_starts_nothing_and_uses_no_key_again(
    path: Path, target: Path
) -> None:
    await a_backup_and_what_came_after(path, target)
    restored = restore(target, path)
    assert restored.paused == (1,)
    assert restored.lost == 1
    assert restored.replaced == path.with_name("torcd.db-replaced-1")
    assert workflows(restored.replaced) == [1, 6, 11, 16]
    async with Store.open(path) as store:
        assert [(row.key, row.status) for row in await store.workflows()] == [
            (1, WorkflowStatus.PAUSED),
            (6, WorkflowStatus.COMPLETED),
        ]
        loaded = await store.load(WorkflowKey(1))
        assert loaded is not None
        assert loaded.boot_ids == {1: NO_BOOT}
        counters = store.counters()
        assert (counters.next_key, counters.next_attempt_key) == (21, 8)


async def test_attempts_that_only_the_executor_knows_keep_their_keys(
    path: Path, target: Path
) -> None:
    await a_backup_and_what_came_after(path, target)
    path.with_name("torcd.db-mark").unlink()
    restore(target, path, newest_attempt=lambda: 40)
    async with Store.open(path) as store:
        assert store.counters().next_attempt_key == 41


async def test_the_file_in_the_place_can_be_made_the_database(path: Path, target: Path) -> None:
    await a_backup_and_what_came_after(path, target)
    os.replace(target, path)
    with pytest.raises(StoreError, match="it is an older copy"):
        await submitted(path)
    restore(path, path)
    assert workflows(path) == [1, 6]
    assert await submitted(path) == [1, 6, 21]


async def test_what_was_replaced_keeps_its_log(path: Path, target: Path, tmp_path: Path) -> None:
    """The log of a daemon that was killed has what the file has not."""
    await submitted(path)
    back_up(path, target)
    killed = tmp_path / "killed"
    async with Store.open(path) as store:
        await commit(store, create(6))
        shutil.copytree(path.parent, killed)
    path = killed / path.name
    replaced = restore(target, path).replaced
    assert replaced is not None
    assert workflows(path) == [1]
    assert workflows(replaced) == [1, 6]


async def test_what_was_replaced_can_be_put_back(path: Path, target: Path) -> None:
    await a_backup_and_what_came_after(path, target)
    first = restore(target, path).replaced
    assert first is not None
    second = restore(first, path).replaced
    assert second == path.with_name("torcd.db-replaced-2")
    assert workflows(path) == [1, 6, 11, 16]


@pytest.fixture
async def of_another(tmp_path: Path, target: Path) -> Path:
    """A backup from another state directory."""
    other = tmp_path / "other" / "torcd.db"
    assert await submitted(other, 3) == [1, 6, 11]
    back_up(other, target)
    return target


async def test_a_backup_of_another_directory_can_be_restored(path: Path, of_another: Path) -> None:
    await submitted(path, 5)
    replaced = restore(of_another, path).replaced
    assert replaced is not None
    assert workflows(replaced) == [1, 6, 11, 16, 21]
    assert await submitted(path) == [1, 6, 11, 26], "a key was used again"


async def test_the_file_of_another_directory_can_be_made_the_database(
    path: Path, of_another: Path
) -> None:
    await submitted(path)
    os.replace(of_another, path)
    with pytest.raises(StoreError, match="not the one that this state directory was used with"):
        await submitted(path)
    restore(path, path)
    assert await submitted(path) == [1, 6, 11, 16]


async def test_a_file_that_is_no_backup_takes_nothing_away(path: Path, target: Path) -> None:
    await submitted(path)
    before = path.read_bytes()
    for content in (b"", b"no database" * 1000, before[:8192]):
        target.write_bytes(content)
        with pytest.raises(StoreError, match=str(target)):
            restore(target, path)
    with pytest.raises(StoreError, match="there is no database"):
        restore(target.with_name("nothing"), path)
    assert path.read_bytes() == before
    assert await submitted(path) == [1, 6]


async def test_nothing_is_restored_below_a_store_that_is_open(path: Path, target: Path) -> None:
    await submitted(path)
    back_up(path, target)
    async with Store.open(path):
        with pytest.raises(StoreError, match="another torcd is using it"):
            await to_thread.run_sync(lambda: restore(target, path))


@pytest.mark.parametrize("is_of_another", [False, True], ids=["own", "another's"])
@pytest.mark.parametrize("step", ["link", "replace", "mark"])
async def test_a_restore_cut_short_is_refused_or_done_and_can_be_repeated(
    path: Path,
    target: Path,
    step: str,
    is_of_another: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await a_backup_and_what_came_after(path, target)
    if is_of_another:
        target.unlink()
        await a_backup_and_what_came_after(tmp_path / "another" / path.name, target)

    class Cut(Exception):
        pass

    def cut(*_: object) -> None:
        raise Cut

    with monkeypatch.context() as patched:
        if step == "mark":
            patched.setattr("torcd.store.restoring.mark_as_newest", cut)
        else:
            patched.setattr(os, step, cut)
        with pytest.raises(Cut):
            restore(target, path)
    there = workflows(path)
    assert there in ([1, 6, 11, 16], [1, 6])
    restore(target, path)
    assert workflows(path) == [1, 6]
    assert await submitted(path) == [1, 6, 21]
