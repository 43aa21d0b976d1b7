"""Large values have files of their own: there before their rows are, and gone after them."""

import contextlib
import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import msgspec
import pytest

from tests.store_world import (
    commit,
    create,
    data_key,
    save_value,
    save_workflow,
)
from torcd.errors import LostValue, NoSpace, StoreError
from torcd.model import Capacity, DataKey, Timestamp, WorkflowKey, WorkflowStatus
from torcd.scheduler.commands import RemoveWorkflow, SaveInitialAgain
from torcd.store import Store, back_up, check, migrate, restore, schema, value_files
from torcd.store.value_files import LARGE_BYTES, directory_of

W = WorkflowKey(1)
CAPACITY = Capacity(cpus=4, memory_bytes=1 << 30, gpus=0)


def large(character: bytes) -> bytes:
    return b'"%s"' % (character * (LARGE_BYTES - 2))


def files_of(path: Path) -> list[str]:
    directory = directory_of(path)
    return sorted(os.listdir(directory)) if directory.exists() else []


async def with_data(store: Store, n_data: int = 1) -> DataKey:
    creation = create(n_data=n_data)
    await commit(store, creation)
    return data_key(creation)


async def with_large(path: Path) -> DataKey:
    """A closed database with one large value."""
    async with Store.open(path) as store:
        key = await with_data(store)
        await commit(store, save_value(key, 1, large(b"x")))
    return key


async def value_of(store: Store, key: DataKey, revision: int | None = None) -> bytes:
    row = await store.value(key, revision)
    assert row is not None
    assert row.size_bytes == len(row.value)
    return bytes(row.value)


async def test_only_what_is_large_has_a_file(store: Store, path: Path) -> None:
    key = await with_data(store)
    await commit(store, save_value(key, 1, b"1" * (LARGE_BYTES - 1)))
    assert files_of(path) == []
    await commit(store, save_value(key, 2, large(b"x")), save_value(key, 3, large(b"y")))
    assert len(files_of(path)) == 2
    assert await value_of(store, key, 2) == large(b"x")
    assert await value_of(store, key) == large(b"y")
    assert [row.size_bytes for row in await store.revisions(key)][1:] == [LARGE_BYTES] * 2
    assert check(path, CAPACITY).items == ()


async def test_one_that_was_written_ahead_is_not_written_again(store: Store, path: Path) -> None:
    key = await with_data(store)
    saved = save_value(key, 1, large(b"x"))
    ahead = store.files.write(saved.value.text)
    await commit(
        store,
        msgspec.structs.replace(saved, value=msgspec.structs.replace(saved.value, file=ahead)),
    )
    assert files_of(path) == [ahead]
    assert await value_of(store, key) == large(b"x")


async def test_it_is_there_after_the_next_start_and_what_has_no_row_is_not(path: Path) -> None:
    async with Store.open(path) as store:
        key = await with_data(store)
        await commit(store, save_value(key, 1, large(b"x")))
        kept = files_of(path)
        store.files.write(large(b"y"))
    (directory_of(path) / "of-another-database").touch()
    async with Store.open(path) as store:
        assert files_of(path) == sorted([*kept, "of-another-database"])
        assert await value_of(store, key) == large(b"x")
        assert store.lost_files == set()


async def moved_away(path: Path) -> tuple[Path, Path, DataKey]:
    """A database with a large value that is not in a backup that was made of it before."""
    backup, elsewhere = path.with_name("backup"), path.with_name("elsewhere")
    async with Store.open(path) as store:
        key = await with_data(store)
        back_up(path, backup)
        await commit(store, save_value(key, 1, large(b"x")))
    path.rename(elsewhere)
    return elsewhere, backup, key


async def put_back(path: Path, elsewhere: Path, key: DataKey) -> None:
    """And its value is there."""
    path.unlink()
    path.with_name("torcd.db-mark").unlink()
    elsewhere.rename(path)
    async with Store.open(path) as store:
        assert await value_of(store, key) == large(b"x")


async def test_another_database_in_its_place_leaves_its_files_alone(path: Path) -> None:
    elsewhere, _, key = await moved_away(path)
    async with Store.open(path) as store:
        await commit(store, save_value(await with_data_of(store, 100), 1, large(b"y")))
    await put_back(path, elsewhere, key)


@pytest.mark.parametrize("is_migrated", [False, True])
async def test_so_does_a_backup_in_its_place_of_which_nobody_knows(
    path: Path, is_migrated: bool
) -> None:
    elsewhere, backup, key = await moved_away(path)
    path.with_name("torcd.db-mark").unlink()
    shutil.copy(backup, path)
    if is_migrated:
        await migrate(path)
    for _ in range(2):
        async with Store.open(path):
            pass
    await put_back(path, elsewhere, key)


async def test_a_restore_where_there_is_no_database_keeps_the_values_that_are_there(
    path: Path,
) -> None:
    elsewhere, backup, key = await moved_away(path)
    (name,) = files_of(path)
    values = restore(backup, path).replaced
    assert values == directory_of(path.with_name("torcd.db-replaced-1"))
    async with Store.open(path):
        assert files_of(path) == []
    (values / name).rename(directory_of(path) / name)
    await put_back(path, elsewhere, key)


async def with_data_of(store: Store, workflow: int) -> DataKey:
    creation = create(workflow)
    await commit(store, creation)
    return data_key(creation)


async def test_the_files_of_a_deleted_workflow_go(store: Store, path: Path) -> None:
    key = await with_data(store)
    other = await with_data_of(store, 100)
    await commit(store, save_value(key, 1, large(b"x")), save_value(key, 2, large(b"y")))
    await commit(store, save_value(other, 1, large(b"z"), workflow_key=WorkflowKey(100)))
    await commit(store, save_workflow(1, WorkflowStatus.COMPLETED))
    await commit(store, RemoveWorkflow(workflow_key=W, at=Timestamp(9500)))
    while not await store.sweep(W):
        pass
    assert len(files_of(path)) == 1
    assert await value_of(store, other) == large(b"z")


async def initial_again(store: Store) -> DataKey:
    """A value of the spec, another one, and the first one again."""
    key = await with_data(store)
    initial = msgspec.structs.replace(save_value(key, 1, large(b"x")), run_id=0)
    await commit(store, initial, save_value(key, 2, large(b"y")))
    await commit(
        store,
        SaveInitialAgain(
            workflow_key=W, data_key=key, revision=3, changed_at=1, at=Timestamp(9000)
        ),
    )
    return key


async def test_an_initial_value_that_is_there_again_is_the_same_file(
    store: Store, path: Path
) -> None:
    key = await initial_again(store)
    assert len(files_of(path)) == 2
    assert await value_of(store, key) == large(b"x")
    assert check(path, CAPACITY).items == ()


async def test_a_file_of_two_revisions_goes_with_the_last(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await initial_again(store)
    await commit(store, save_workflow(1, WorkflowStatus.COMPLETED))
    await commit(store, RemoveWorkflow(workflow_key=W, at=Timestamp(9500)))
    monkeypatch.setattr("torcd.store.sweeping.ROWS_IN_A_STEP", 1)
    await store.sweep(W)
    assert len(files_of(path)) == 2
    while not await store.sweep(W):
        pass
    assert files_of(path) == []
    assert await store.value(key) is None


# What goes wrong


async def test_without_room_there_is_no_file_and_no_row(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await with_data(store)
    real = os.write

    def full_after_half(descriptor: int, text: memoryview) -> int:
        if len(text) <= LARGE_BYTES // 2:
            raise OSError(28, "No space left on device")
        return real(descriptor, text[: LARGE_BYTES // 2])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full_after_half)
        with pytest.raises(NoSpace, match="a large value"):
            await commit(store, save_value(key, 1, large(b"x")))
    assert files_of(path) == []
    assert await store.value(key) is None
    await commit(store, save_value(key, 1, large(b"x")))
    assert await value_of(store, key) == large(b"x")


async def test_without_room_for_the_rows_the_files_go_again(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await with_data(store)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store._commits._reserve, "keep", full)
        with pytest.raises(NoSpace):
            await commit(store, save_value(key, 1, large(b"x")), save_value(key, 2, large(b"y")))
    assert files_of(path) == []


async def test_after_any_other_failure_they_stay_until_the_next_start(path: Path) -> None:
    """Only then it is known whether the rows are there."""
    no = "CREATE TEMP TRIGGER no BEFORE INSERT ON revision BEGIN SELECT raise(FAIL, 'no'); END"
    async with Store.open(path) as store:
        key = await with_data(store)
        await store._writer.call(lambda connection: connection.execute(no))
        with pytest.raises(StoreError):
            await commit(store, save_value(key, 1, large(b"x")))
    assert len(files_of(path)) == 1
    async with Store.open(path):
        assert files_of(path) == []


def cut(file: Path) -> None:
    os.truncate(file, 1000)


@pytest.mark.parametrize("lose", [Path.unlink, cut])
async def test_a_file_that_was_lost_is_told_of(path: Path, lose: Callable[[Path], None]) -> None:
    async with Store.open(path) as store:
        key = await with_data(store)
        await commit(store, save_value(key, 1, large(b"x")), save_value(key, 2, b"2"))
        (name,) = files_of(path)
        lose(directory_of(path) / name)
        with pytest.raises(LostValue, match=f"{name}.*store the value again"):
            await store.value(key, 1)
        assert await value_of(store, key) == b"2"
        assert [row.revision for row in await store.revisions(key)] == [1, 2]
        told = await store.value(key, 1, max_bytes=100)
        assert told is not None
        assert told.size_bytes == LARGE_BYTES
    (problem,) = check(path, CAPACITY).items
    assert problem.check == "values"
    assert name in problem.message
    backup = path.with_name("backup")
    assert back_up(path, backup).lost_values == 1
    (problem,) = check(backup, CAPACITY).items
    assert problem.check == "values"
    async with Store.open(path) as store:
        assert store.lost_files == ({name} if lose is Path.unlink else set())


def no_json(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def knot(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.name)


@pytest.mark.parametrize("change", [no_json, fifo, directory, knot])
async def test_what_else_may_be_there_is_lost_too(
    store: Store, path: Path, change: Callable[[Path], None]
) -> None:
    key = await with_data(store)
    await commit(store, save_value(key, 1, large(b"x")))
    (name,) = files_of(path)
    change(directory_of(path) / name)
    with pytest.raises(LostValue, match=name):
        await store.value(key)
    assert store.files.has(name, LARGE_BYTES) is (change is no_json)


async def test_a_database_whose_values_are_lost_can_be_upgraded(path: Path) -> None:
    await with_large(path)
    shutil.rmtree(directory_of(path))
    newest = schema.migrations()
    later = (newest[-1][0] + 1, "CREATE TABLE later (key INTEGER PRIMARY KEY) STRICT;")
    with mock.patch.object(schema, "migrations", return_value=[*newest, later]):
        async with Store.open(path) as store:
            assert store.migrated.former is not None
            assert len(store.lost_files) == 1


async def test_a_directory_that_somebody_removes_is_made_again(store: Store, path: Path) -> None:
    key = await with_data(store)
    shutil.rmtree(directory_of(path))
    await commit(store, save_value(key, 1, large(b"x")))
    assert await value_of(store, key) == large(b"x")


async def test_a_file_that_was_changed_is_found_out(store: Store, path: Path) -> None:
    key = await with_data(store)
    await commit(store, save_value(key, 1, large(b"x")))
    (name,) = files_of(path)
    (directory_of(path) / name).write_bytes(large(b"y"))
    (problem,) = check(path, CAPACITY).items
    assert (problem.check, problem.subject) == ("hashes", f"user_data {key}")


async def test_what_is_deleted_while_it_is_checked_is_not_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_large(path)
    read = value_files.read

    def delete_before(directory: Path, name: str, size_bytes: int) -> memoryview:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE workflow SET deleted_at = 1")
            connection.commit()
        (directory / name).unlink()
        return read(directory, name, size_bytes)

    monkeypatch.setattr(value_files, "read", delete_before)
    assert check(path, CAPACITY).items == ()


async def test_of_an_older_revision_the_kernel_keeps_nothing(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await with_data(store)
    await commit(store, save_value(key, 1, large(b"x")))
    (first,) = files_of(path)
    let_go: list[str] = []
    monkeypatch.setattr(store.files, "let_go", let_go.append)
    await commit(store, save_value(key, 2, large(b"y")))
    await commit(store, save_value(key, 3, b"3"))
    await store._writer.call(lambda _: None)
    assert let_go == [first]


async def test_what_was_deleted_meanwhile_is_not_lost(store: Store, path: Path) -> None:
    key = await with_data(store)
    await commit(store, save_value(key, 1, large(b"x")))
    await commit(store, save_workflow(1, WorkflowStatus.COMPLETED))
    await commit(store, RemoveWorkflow(workflow_key=W, at=Timestamp(9500)))
    (name,) = files_of(path)
    store.files.remove([name])
    assert await store.value(key) is None
    assert check(path, CAPACITY).items == ()
    back_up(path, path.with_name("backup"))


# Copies


async def test_a_backup_is_one_file_with_all_values(store: Store, path: Path) -> None:
    key = await with_data(store)
    await commit(store, save_value(key, 1, large(b"x")), save_value(key, 2, b"2"))
    backup = path.parent / "else" / "backup"
    backup.parent.mkdir()
    back_up(path, backup)
    assert os.listdir(backup.parent) == ["backup"]
    with contextlib.closing(sqlite3.connect(backup)) as connection:
        texts = [text for (text,) in connection.execute("SELECT value FROM revision ORDER BY key")]
    assert texts == [large(b"x"), b"2"]
    assert check(backup, CAPACITY).items == ()


async def test_what_a_restore_replaces_keeps_its_values(path: Path) -> None:
    backup = path.with_name("backup")
    async with Store.open(path) as store:
        key = await with_data(store)
        await commit(store, save_value(key, 1, large(b"x")))
        back_up(path, backup)
        await commit(store, save_value(key, 2, large(b"y")))
    replaced = restore(backup, path).replaced
    assert replaced is not None
    async with Store.open(path) as store:
        assert await value_of(store, key) == large(b"x")
        assert files_of(path) == []
        await commit(store, save_value(key, 2, large(b"z")))
    assert len(files_of(replaced)) == 2
    assert check(replaced, CAPACITY).items == ()
    # And back again.
    restore(replaced, path)
    async with Store.open(path) as store:
        assert await value_of(store, key) == large(b"y")
    assert check(path, CAPACITY).items == ()


async def test_a_restore_copies_values_that_cannot_be_linked(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_large(path)
    (directory_of(path) / "lost+found").mkdir()
    link = os.link

    def link_no_values(source: Path, target: Path) -> None:
        if "-values" in str(target):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        link(source, target)

    monkeypatch.setattr(os, "link", link_no_values)
    replaced = restore(path, path).replaced
    assert replaced is not None
    assert check(replaced, CAPACITY).items == ()


async def test_a_restore_cut_short_leaves_no_copy_without_its_values(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await with_large(path)
    link = os.link
    for nth in range(3):
        left = nth

        def fail_later(source: Path, target: Path) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            link(source, target)

        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            patch.setattr(os, "link", fail_later)
            restore(path, path)
        for replaced in path.parent.glob("torcd.db-replaced-?"):
            assert check(replaced, CAPACITY).items == ()
        async with Store.open(path) as store:
            assert await value_of(store, key) == large(b"x")


async def test_what_is_left_of_copies_that_were_cut_short_goes(path: Path) -> None:
    async with Store.open(path) as store:
        await with_data(store)
    left = [path.with_name(f".torcd.db.abc.part{suffix}") for suffix in ("", "-wal", "-shm")]
    for file in left:
        file.touch()
    path.with_name(".torcd.db-replaced-1-values.part").mkdir()
    other = path.with_name(".monday.db.abc.part")
    other.touch()
    async with Store.open(path):
        assert [file.name for file in path.parent.glob(".*")] == [other.name]


async def test_a_database_can_be_restored_from_itself(path: Path) -> None:
    key = await with_large(path)
    restore(path, path)
    async with Store.open(path) as store:
        assert await value_of(store, key) == large(b"x")


async def test_the_values_are_no_place_for_a_backup(path: Path) -> None:
    async with Store.open(path):
        pass
    with pytest.raises(StoreError, match="among the values of the database"):
        back_up(path, directory_of(path) / "backup")
    directory_of(path).rmdir()
    with pytest.raises(StoreError, match="a part of the database"):
        back_up(path, directory_of(path))
