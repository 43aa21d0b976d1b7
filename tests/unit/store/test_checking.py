"""check-db sees every invariant that is broken, and nothing where none is."""

import os
import random
import shutil
from pathlib import Path

import anyio
import pytest

from tests.crash.life_of_a_store import live
from tests.store_world import commit, create, data_key, looking_at, save_value
from torcd.errors import StoreError
from torcd.model import Capacity
from torcd.scheduler.sharing import BOUNDLESS
from torcd.store import Store, check, schema, sweeping
from torcd.store.value_files import directory_of


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in the middle of its life: workflows at work and over, attempts, values."""
    path = tmp_path_factory.mktemp("lived") / "torcd.db"
    anyio.run(live, path, 150, 4, lambda _: None)
    return path


@pytest.fixture
def path(tmp_path: Path, lived: Path) -> Path:
    path = tmp_path / "torcd.db"
    shutil.copy(lived, path)
    shutil.copytree(directory_of(lived), directory_of(path))
    return path


def found(path: Path, capacity: Capacity = BOUNDLESS) -> set[str]:
    """The checks that find something."""
    return {problem.check for problem in check(path, capacity).items}


def test_a_sound_database_is_counted(path: Path) -> None:
    before = path.read_bytes()
    checked = check(path, BOUNDLESS)
    assert checked.items == ()
    assert checked.is_sound
    assert checked.version == schema.newest_version()
    assert all(checked.counts.values())
    assert path.read_bytes() == before
    assert sorted(os.listdir(path.parent)) == ["torcd.db", "torcd.db-values"]


async def test_values_are_known_by_what_they_mean_and_not_by_their_text(tmp_path: Path) -> None:
    path = tmp_path / "texts.db"
    texts = [b'{"b": 1, "a": [1.0, 1e400, "\\u00e4"]}', b'"\xc3\xa4"', b"-0.0", b'{"a":1,"a":2}']
    async with Store.open(path) as store:
        creation = create()
        await commit(store, creation)
        for revision, text in enumerate(texts, start=1):
            await commit(store, save_value(data_key(creation), revision, text))
    assert found(path) == set()


async def test_a_database_in_use_is_looked_at_as_of_one_moment(path: Path) -> None:
    async with Store.open(path):
        checked = await anyio.to_thread.run_sync(check, path, BOUNDLESS)
    assert checked.items == ()


def test_what_is_left_of_a_deleted_workflow_is_no_problem(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "ROWS_IN_A_STEP", 3)

    async def sweep() -> int:
        steps = 0
        async with Store.open(path) as store:
            (key,) = await store.deleted()
            is_over = False
            while not is_over:
                is_over = await store.sweep(key)
                assert (await anyio.to_thread.run_sync(check, path, BOUNDLESS)).items == ()
                steps += 1
        return steps

    with looking_at(path) as connection:
        connection.execute(
            "UPDATE workflow SET deleted_at = 1 WHERE key ="
            " (SELECT key FROM workflow WHERE status = 'failed' LIMIT 1)"
        )
    assert anyio.run(sweep) > 3


BROKEN = {
    "UPDATE meta SET next_key = 9": "counters",
    "UPDATE meta SET next_attempt_key = 2": "counters",
    "UPDATE file SET key = (SELECT min(key) FROM job) WHERE key = 77": "counters",
    "UPDATE meta SET next_event_number = 2": "events",
    "UPDATE event SET first_number = first_number + 100000"
    " WHERE first_number = (SELECT max(first_number) FROM event)": "events",
    "UPDATE event SET happenings = '[7' WHERE first_number = 1": "events",
    "UPDATE event SET workflow_key = 77 WHERE first_number = 1": "events",
    "UPDATE revision SET value = CAST('7' AS BLOB) WHERE key = 3": "hashes",
    "UPDATE revision SET sha256 = zeroblob(32) WHERE key = 3": "hashes",
    "UPDATE revision SET revision = revision + 1 WHERE key = 3": "revisions",
    "UPDATE revision SET previous = NULL WHERE revision = 2": "revisions",
    "DELETE FROM revision WHERE revision = 1 AND length(value) > 0": "revisions",
    "DELETE FROM revision WHERE length(value) = 0": "references",
    "UPDATE value_file SET name = 'gone'": "values",
    "UPDATE value_file SET size_bytes = 1": "values",
    "UPDATE revision SET sha256 = zeroblob(32) WHERE length(value) = 0": "hashes",
    "UPDATE user_data SET newest = NULL": "revisions",
    "UPDATE revision SET attempt_key = 777777 WHERE key = 3": "revisions",
    "UPDATE attempt SET workflow_key = 777777 WHERE key = 1": "attempts",
    "UPDATE attempt SET boot_key = 7 WHERE key = 1": "attempts",
    "UPDATE attempt SET action = 1 WHERE key = 1": "attempts",
    "UPDATE attempt SET ended_at = NULL WHERE status = 'completed'": "attempts",
    "UPDATE attempt SET run_id = 9 WHERE key = 1": "attempts",
    "UPDATE attempt SET attempt_id = 3 WHERE key = 1": "attempts",
    "UPDATE attempt SET status = 'pending', ended_at = NULL WHERE workflow_key ="
    " (SELECT key FROM workflow WHERE status = 'failed' LIMIT 1)": "attempts",
    "UPDATE job_state SET attempt_id = 5 WHERE status = 'completed'": "jobs",
    "UPDATE workflow SET ended_at = NULL": "workflows",
    "UPDATE workflow SET job_counts = '{\"completed\":77}' WHERE job_counts NOT NULL": "workflows",
    "DELETE FROM workflow_environment": "workflows",
    "UPDATE workflow SET removed_runs = 9": "workflows",
    "UPDATE job_state SET trace_attempt = 777777, trace_definition = zeroblob(16),"
    " trace_made_at = 1 WHERE status = 'completed'": "jobs",
    "UPDATE job SET definition = '{}'": "loading",
    "UPDATE job SET definition = replace(definition, '\"depends_on\":[', '\"depends_on\":[9999,')"
    " WHERE definition LIKE '%depends_on\":[%'": "references",
    "UPDATE workflow SET status = 'completed', ended_at = 1 WHERE status = 'failed'": "scheduler",
    "UPDATE user_data SET workflow_key = 777777"
    " WHERE key = (SELECT min(key) FROM user_data)": "references",
    "DROP INDEX job_of_workflow": "schema",
    "CREATE TABLE theirs (a)": "schema",
    "PRAGMA user_version = 2": "schema",
    "PRAGMA user_version = 99": "schema",
    "DELETE FROM meta": "counters",
}


@pytest.mark.parametrize("change", BROKEN)
def test_what_is_broken_is_told(path: Path, change: str) -> None:
    with looking_at(path) as connection:
        if "file SET key" in change:
            connection.execute(
                "INSERT INTO file (key, workflow_key, name, path)"
                " VALUES (77, (SELECT min(key) FROM workflow), 'f', '/f')"
            )
        connection.execute(change)
    assert BROKEN[change] in found(path)


def test_damaged_pages_are_told(path: Path) -> None:
    damaged = bytearray(path.read_bytes())
    dice = random.Random(3)
    for page in range(4, len(damaged) // 4096):
        at = page * 4096
        damaged[at : at + 200] = dice.randbytes(200)
    path.write_bytes(damaged)
    assert found(path) == {"integrity"}


def test_a_truncated_database_is_told(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert found(path) == {"integrity"}


def test_an_older_copy_is_told(path: Path, lived: Path) -> None:
    anyio.run(live, path, 3, 1, lambda _: None)
    path.write_bytes(lived.read_bytes())
    assert found(path) == {"age"}


@pytest.mark.parametrize("content", [b"", b"no database" * 100])
def test_what_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match=str(path)):
        check(path, BOUNDLESS)


def test_where_there_is_none_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no database"):
        check(tmp_path / "torcd.db", BOUNDLESS)
    assert list(tmp_path.iterdir()) == []
