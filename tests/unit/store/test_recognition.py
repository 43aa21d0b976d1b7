"""What stands where the database should: the newest there was, or a refusal that says why."""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from tests.store_world import commit, create, data_key, looking_at, save_value
from torcd.errors import StoreError
from torcd.model import WorkflowKey
from torcd.store import Store, migrate
from torcd.store.schema import look_into


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "torcd.db"


def submit(path: Path, count: int = 1) -> list[WorkflowKey]:
    """Commit so many workflows more, and close; the keys that there are."""

    async def work() -> list[WorkflowKey]:
        async with Store.open(path) as store:
            key = store.counters().next_key
            for _ in range(count):
                creation = create(key)
                await commit(store, creation)
                key = creation.next_key
            return [row.key for row in await store.workflows()]

    return anyio.run(work)


def killed_with_a_log(path: Path, count: int, *, more_jobs: int = 200) -> None:
    """The store as a SIGKILL leaves it: with a log, whose first part is in the database's file."""

    async def work() -> None:
        async with Store.open(path) as store:
            key = store.counters().next_key
            creation = create(key, n_jobs=more_jobs)
            if more_jobs:
                await commit(store, creation)
            target = data_key(creation) if more_jobs else 5
            await store._writer.call(lambda c: c.execute("PRAGMA wal_checkpoint").fetchall())
            for n in range(count):
                await commit(store, save_value(target, n + 1, b"%d" % n))
            for name in names:
                shutil.copy2(path.with_name(name), kept / name)

    names = ("torcd.db", "torcd.db-wal", "torcd.db-mark")
    kept = path.parent.parent / "kept"
    kept.mkdir()
    anyio.run(work)
    for name in names:  # into the same files, which the mark knows
        with open(kept / name, "rb") as source, open(path.parent / name, "wb") as target:
            shutil.copyfileobj(source, target)
        facts = (kept / name).stat()
        os.utime(path.parent / name, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    shutil.rmtree(kept)


def contents(directory: Path) -> dict[str, bytes]:
    """Of what counts; -shm is an index that SQLite makes again whenever it looks."""
    return {
        file.name: file.read_bytes()
        for file in directory.iterdir()
        if file.is_file() and not file.name.endswith(("-shm", "-lock")) and file.stat().st_size
    }


def refused(path: Path, *words: str) -> None:
    """By all that opens it for writing; and nothing is changed by that."""
    before = contents(path.parent)
    for attempt in (lambda: submit(path), lambda: anyio.run(migrate, path)):
        with pytest.raises(StoreError) as caught:
            attempt()
        assert str(path) in caught.value.message
        for word in words:
            assert word in caught.value.message
    assert contents(path.parent) == before


def test_a_database_that_was_left_as_it_is_opens_again(path: Path) -> None:
    assert submit(path) == [1]
    assert submit(path) == [1, 6]
    killed_with_a_log(path, 3)
    assert submit(path) == [1, 6, 11, 214]


def test_an_older_copy_is_refused_and_the_newest_put_back_is_taken(path: Path) -> None:
    submit(path)
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    submit(path)
    newest = path.with_name("newest")
    path.rename(newest)
    shutil.copy(copy, path)
    refused(path, "it is an older copy", "written to 1 times", "2 times", f"torcd restore {path}")
    newest.replace(path)
    assert submit(path) == [1, 6, 11]


def test_a_copy_is_older_by_a_single_commit_that_moves_no_counter(path: Path) -> None:
    submit(path)
    copy = path.with_name("copy")
    shutil.copy(path, copy)

    async def store() -> None:
        async with Store.open(path) as store:
            await commit(store, save_value(5, 1, b"1"))

    anyio.run(store)
    copy.replace(path)
    refused(path, "it is an older copy")


def test_a_database_of_an_older_schema_is_an_older_copy_too(path: Path) -> None:
    submit(path)
    with looking_at(path) as connection:
        connection.execute("ALTER TABLE meta DROP COLUMN commits")
        connection.execute("PRAGMA user_version = 2")
    refused(path, "it is an older copy", "written to 0 times")


def test_a_log_that_was_taken_away_is_missed(path: Path) -> None:
    submit(path)
    killed_with_a_log(path, 3)
    path.with_name("torcd.db-wal").unlink()
    path.with_name("torcd.db-shm").unlink(missing_ok=True)
    refused(path, "its log torcd.db-wal was taken away")


def test_a_log_that_was_written_for_another_file_is_not_mixed_with_this_one(path: Path) -> None:
    submit(path)
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    killed_with_a_log(path, 3)
    copy.replace(path)
    refused(path, "its log torcd.db-wal was written for another file")


def test_nor_when_the_copy_was_written_into_the_file_itself(path: Path) -> None:
    submit(path)
    old = path.read_bytes()
    submit(path, 30)
    killed_with_a_log(path, 3)
    path.write_bytes(old)
    refused(path, "its log torcd.db-wal was written for another file")


@pytest.mark.parametrize("how", ["moved into its place", "written into it, with its date"])
def test_nor_when_the_pages_of_both_would_go_together(path: Path, how: str) -> None:
    """Only a row of a page that is not in the log differs."""
    submit(path)
    with looking_at(path) as connection:
        connection.execute("INSERT INTO boot VALUES (1, 'a')")
    copy = path.with_name("copy")
    shutil.copy2(path, copy)
    with looking_at(path) as connection:
        connection.execute("UPDATE boot SET boot_id = 'b'")
    killed_with_a_log(path, 3, more_jobs=0)
    facts = copy.stat()
    if how == "moved into its place":
        os.utime(copy, ns=(facts.st_atime_ns, facts.st_mtime_ns + 10**12))
        copy.replace(path)
    else:
        path.write_bytes(copy.read_bytes())
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    refused(path, "its log torcd.db-wal was written for another file")


def test_after_a_power_cut_the_date_of_the_file_says_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(path)
    killed_with_a_log(path, 3)
    os.utime(path, ns=(0, 0))
    monkeypatch.setattr("torcd.store.recognition.boot_id", lambda: "a later boot")
    assert submit(path) == [1, 6, 209]


def test_a_state_directory_may_be_copied_as_a_whole(path: Path, tmp_path: Path) -> None:
    submit(path)
    killed_with_a_log(path, 3)
    shutil.copytree(path.parent, tmp_path / "elsewhere")
    assert submit(tmp_path / "elsewhere" / "torcd.db") == [1, 6, 209]


def test_another_database_is_not_taken_for_this_one(path: Path, tmp_path: Path) -> None:
    submit(path)
    other = tmp_path / "other" / "torcd.db"
    submit(other, 9)
    other.replace(path)
    refused(path, "not the one that this state directory was used with")


def test_where_the_database_is_moved_away_a_new_one_begins_and_no_key_is_used_twice(
    path: Path,
) -> None:
    assert submit(path, 3) == [1, 6, 11]
    path.rename(path.with_name("away"))
    assert submit(path) == [16]


def test_a_database_emptied_to_zero_bytes_is_not_begun_anew(path: Path) -> None:
    submit(path)
    os.truncate(path, 0)
    refused(path, "it is empty, and it was not")


def test_a_log_without_its_database_is_left_alone(path: Path) -> None:
    submit(path)
    killed_with_a_log(path, 3)
    path.unlink()
    refused(path, "it is gone, but its log torcd.db-wal is not")


def test_a_mark_that_is_damaged_is_named(path: Path) -> None:
    submit(path)
    mark = path.with_name("torcd.db-mark")
    mark.write_bytes(mark.read_bytes().replace(b'"next_key":6', b'"next_key":5'))
    refused(path, f"{mark} is damaged")
    mark.unlink()
    assert submit(path) == [1, 6]


def link(path: Path) -> None:
    target = path.with_name("target")
    path.rename(target)
    path.symlink_to(target)


def dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (link, "it is a symbolic link to"),
        (dangling_link, "it is a symbolic link to"),
        (fifo, "no regular file"),
    ],
)
def test_what_is_no_plain_file_is_refused(
    path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    submit(path)
    spoil(path)
    before = sorted(file.name for file in path.parent.iterdir())
    with pytest.raises(StoreError, match=words):
        submit(path)
    assert sorted(file.name for file in path.parent.iterdir()) == before


def test_a_database_in_exclusive_use_elsewhere_is_waited_for_only_so_long(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(path)
    monkeypatch.setattr("torcd.store.schema.BUSY_TIMEOUT_SECONDS", 0.1)
    with looking_at(path) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        refused(path, "another program has it locked")
    assert submit(path) == [1, 6]


def test_a_new_state_directory_has_its_names_on_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = path.parent / "a" / "b" / "torcd.db"
    synced: list[Path] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    submit(deep)
    for directory in (deep.parent, *list(deep.parents)[1:4]):
        assert directory in synced


def test_a_reader_that_cannot_write_sees_no_need_to(path: Path) -> None:
    """Recognising a database that needs no repair changes none of its bytes."""
    submit(path)
    killed_with_a_log(path, 3)
    before = contents(path.parent)
    with (
        contextlib.closing(look_into(path)) as reader,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        reader.execute("DELETE FROM meta")
    assert contents(path.parent) == before
