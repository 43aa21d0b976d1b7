"""Opening a file: a new one, an old one, and what is no database of ours."""

import sqlite3
import stat
from pathlib import Path

import anyio
import pytest

from tests.store_world import commit, create, looking_at
from torcd.errors import StoreError
from torcd.model import WorkflowKey
from torcd.store import Store, migrate, recognition, schema
from torcd.store.lock import sole_writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "torcd.db"


def made(path: Path, n_jobs: int = 2) -> bytes:
    """A database with a workflow in it; returns the bytes of its file."""

    async def make() -> None:
        async with Store.open(path) as store:
            await commit(store, create(n_jobs=n_jobs))

    anyio.run(make)
    return path.read_bytes()


def newest_workflow(path: Path) -> WorkflowKey | None:
    async def look() -> WorkflowKey | None:
        async with Store.open(path) as store:
            return await store.newest_workflow()

    return anyio.run(look)


def refused(path: Path) -> StoreError:
    with pytest.raises(StoreError) as caught:
        newest_workflow(path)
    assert str(path) in caught.value.message
    assert caught.value.facts["path"] == str(path)
    return caught.value


def schema_of(path: Path) -> object:
    with looking_at(path) as connection:
        return connection.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name"
        ).fetchall()


def test_the_schema_equals_all_migrations(path: Path, tmp_path: Path) -> None:
    made(path)
    by_hand = tmp_path / "by_hand.db"
    with looking_at(by_hand) as connection:
        for _, sql in schema.migrations():
            connection.executescript(sql)
    assert schema_of(path) == schema_of(by_hand)


def test_migrations_are_numbered_from_one_without_gaps() -> None:
    numbers = [number for number, _ in schema.migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_table_is_strict(path: Path) -> None:
    made(path)
    with looking_at(path) as connection:
        tables = connection.execute(
            "SELECT name, strict FROM pragma_table_list"
            " WHERE schema = 'main' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
    assert tables
    assert [name for name, strict in tables if not strict] == []


def test_a_new_database_says_whose_it_is_and_how_new(path: Path) -> None:
    made(path)
    with looking_at(path) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (
            recognition.APPLICATION_ID,
        )
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.migrations()[-1][0],)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def modes_in(directory: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}


async def test_every_file_is_the_owners_alone(path: Path) -> None:
    async with Store.open(path) as store:
        await commit(store, create())
        modes = modes_in(path.parent)
    assert modes.pop("torcd.db-values") == 0o700
    assert modes == dict.fromkeys(
        (f"torcd.db{suffix}" for suffix in ("", "-lock", "-mark", "-shm", "-wal")), 0o600
    )
    assert modes_in(path.parent.parent)["state"] == 0o700


def test_a_file_that_others_could_read_is_closed_to_them(path: Path) -> None:
    made(path)
    path.chmod(0o644)
    assert newest_workflow(path) == 1
    assert modes_in(path.parent)["torcd.db"] == 0o600


async def test_a_commit_is_synced_and_foreign_keys_are_enforced(path: Path) -> None:
    async with Store.open(path) as store:
        pragmas = await store._writer.call(
            lambda c: [
                c.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("synchronous", "foreign_keys")
            ]
        )
    assert pragmas == [2, 1]


# migrate


def test_migrating_says_from_which_version_to_which(path: Path) -> None:
    newest = schema.migrations()[-1][0]
    assert anyio.run(migrate, path) == schema.Migrated(0, newest)
    assert anyio.run(migrate, path) == schema.Migrated(newest, newest)


def test_a_migration_to_come_is_applied_to_what_is_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(path)
    now = schema.migrations()
    newest = now[-1][0]
    later = (newest + 1, "ALTER TABLE workflow ADD COLUMN colour TEXT NOT NULL DEFAULT 'red';")
    monkeypatch.setattr(schema, "migrations", lambda: [*now, later])
    done = anyio.run(migrate, path)
    assert (done.from_version, done.to_version) == (newest, newest + 1)
    assert newest_workflow(path) == 1
    with looking_at(path) as connection:
        assert connection.execute("SELECT colour FROM workflow").fetchall() == [("red",)]


def test_of_migrations_that_fail_none_is_applied(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(path)
    before = schema_of(path)
    now = schema.migrations()
    newest = now[-1][0]
    good = (newest + 1, "CREATE TABLE good (key INTEGER PRIMARY KEY) STRICT;")
    bad = (newest + 2, "CREATE TABLE workflow (key INTEGER PRIMARY KEY) STRICT;")
    with monkeypatch.context() as patched:
        patched.setattr(schema, "migrations", lambda: [*now, good, bad])
        with pytest.raises(StoreError, match="table workflow already exists"):
            anyio.run(migrate, path)
    assert schema_of(path) == before
    assert anyio.run(migrate, path) == schema.Migrated(newest, newest)


def test_what_a_creation_cut_short_left_behind_is_completed(path: Path) -> None:
    path.parent.mkdir()
    with looking_at(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    assert path.stat().st_size
    assert anyio.run(migrate, path).from_version == 0


# What is refused


def test_a_database_from_the_future_is_refused_and_left_alone(path: Path) -> None:
    made(path)
    newest = schema.migrations()[-1][0]
    with looking_at(path) as connection:
        connection.execute(f"PRAGMA user_version = {newest + 1}")
    before = path.read_bytes()
    error = refused(path)
    assert "newer torcd" in error.message
    assert path.read_bytes() == before


def test_another_programs_database_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with looking_at(path) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    before = path.read_bytes()
    error = refused(path)
    assert "belongs to another program" in error.message
    assert path.read_bytes() == before


def test_an_empty_database_that_another_program_has_marked_is_refused(path: Path) -> None:
    path.parent.mkdir()
    with looking_at(path) as connection:
        connection.execute("PRAGMA application_id = 77")
    assert "belongs to another program" in refused(path).message


def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("precious notes, and more than sixteen bytes of them")
    error = refused(path)
    assert "not a database" in error.message
    assert path.read_text() == "precious notes, and more than sixteen bytes of them"


def test_a_truncated_database_is_refused_and_left_alone(path: Path) -> None:
    whole = made(path)
    path.write_bytes(whole[: len(whole) // 2])
    error = refused(path)
    assert "damaged" in error.message
    assert path.read_bytes() == whole[: len(whole) // 2]


def test_an_empty_file_beside_a_log_that_is_not_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    log = path.with_name(path.name + "-wal")
    log.write_bytes(b"what was acknowledged")
    refused(path)
    assert log.read_bytes() == b"what was acknowledged"


def test_damage_that_is_found_later_is_said_with_the_path(path: Path) -> None:
    whole = made(path, n_jobs=500)
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))

    async def load() -> None:
        async with Store.open(path) as store:
            await store.load(WorkflowKey(1))

    with pytest.raises(StoreError, match="damaged") as caught:
        anyio.run(load)
    assert caught.value.facts["path"] == str(path)


def test_a_directory_in_the_way_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    assert "there is a directory in its place" in refused(path).message
    assert path.is_dir()


def test_a_state_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = refused(tmp_path / "file" / "torcd.db")
    assert "name another state directory" in error.message


def test_a_database_that_another_program_has_locked_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(path)
    monkeypatch.setattr(schema, "BUSY_TIMEOUT_SECONDS", 0.0)
    with looking_at(path) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        assert "another program has it locked" in refused(path).message
    assert newest_workflow(path) == 1


def test_a_database_is_open_in_one_place_at_a_time(path: Path) -> None:
    made(path)
    with sole_writer(path):
        assert "another torcd is using it" in refused(path).message
        with pytest.raises(StoreError, match="another torcd is using it"):
            anyio.run(migrate, path)
    assert newest_workflow(path) == 1


def test_a_sqlite_that_is_too_old_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    assert "too old" in refused(path).message
    assert not path.exists()
