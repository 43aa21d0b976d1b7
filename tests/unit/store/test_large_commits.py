"""Much at a time is written once before it is acknowledged, and moved afterwards."""

from pathlib import Path
from typing import Any

import pytest

from tests.store_world import commit, create, data_key, save_value
from torcd.errors import StoreError
from torcd.model import DataKey
from torcd.scheduler.commands import SaveValue
from torcd.store import Store, large_commits
from torcd.store.mark import Place, read_mark

PAGE_BYTES = 4096
FRAME_BYTES = PAGE_BYTES + 24
"""A page in the log."""

COUNT = 7
TEXT = b'"%s"' % (b"x" * 900_000)
"""As large as a value can be that has no file of its own."""

SIZE_BYTES = COUNT * len(TEXT)


def much(key: DataKey) -> list[SaveValue]:
    return [save_value(key, revision, TEXT) for revision in range(1, COUNT + 1)]


async def asked(store: Store, statement: str) -> Any:
    return await store._writer.call(lambda connection: connection.execute(statement).fetchone())


async def with_data(store: Store) -> DataKey:
    creation = create()
    await commit(store, creation)
    return data_key(creation)


def written_bytes() -> int:
    """By this process so far."""
    facts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(facts["wchar"])


async def test_it_is_written_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    key = await with_data(store)
    await asked(store, "PRAGMA wal_checkpoint")
    monkeypatch.setattr(large_commits, "move_log", lambda connection: None)
    before = written_bytes()
    await commit(store, *much(key))
    # Values of so many pages, and a few for what is said of them.
    assert 1 < (written_bytes() - before) / (SIZE_BYTES / PAGE_BYTES * FRAME_BYTES) < 1.05


async def test_it_is_moved_when_its_commit_is_over(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await with_data(store)
    await asked(store, "PRAGMA wal_checkpoint")
    before = path.stat().st_size
    sizes = []
    move = large_commits.move_log

    def seen(connection: Any) -> None:
        sizes.append(path.stat().st_size)
        move(connection)

    monkeypatch.setattr(large_commits, "move_log", seen)
    await commit(store, *much(key))
    await asked(store, "SELECT 1")
    assert sizes == [before], "it was moved within the commit, or not at all"
    assert path.stat().st_size > before + SIZE_BYTES
    mark = read_mark(path)
    assert mark is not None
    assert mark.file == Place.of(path), "the mark is of the file as it was"


async def test_small_commits_are_as_they_were(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [
        await asked(store, f"PRAGMA {name}") for name in ("cache_size", "wal_autocheckpoint")
    ]
    assert settings == [(-2000,), (1000,)]
    key = await with_data(store)
    await commit(store, *much(key))
    after = [await asked(store, f"PRAGMA {name}") for name in ("cache_size", "wal_autocheckpoint")]
    assert after == settings
    monkeypatch.setattr(large_commits, "move_log", None)
    await commit(store, save_value(key, COUNT + 1, b"1"))


async def test_so_they_are_after_one_that_failed(store: Store) -> None:
    key = await with_data(store)
    await asked(
        store,
        "CREATE TEMP TRIGGER no BEFORE INSERT ON revision BEGIN SELECT raise(FAIL, 'no'); END",
    )
    with pytest.raises(StoreError):
        await commit(store, *much(key))
    after = [await asked(store, f"PRAGMA {name}") for name in ("cache_size", "wal_autocheckpoint")]
    assert after == [(-2000,), (1000,)]


@pytest.mark.parametrize("size_bytes", [900_000, 1 << 20, 6 << 20])
async def test_a_large_value_is_read_as_it_was_written(store: Store, size_bytes: int) -> None:
    key = await with_data(store)
    large = b'"%s"' % (b"x" * (size_bytes - 2))
    await commit(store, save_value(key, 1, large), save_value(key, 2, b"0"))
    for revision, text in ((1, large), (2, b"0"), (None, b"0")):
        row = await store.value(key, revision)
        assert row is not None
        assert (row.value, row.size_bytes) == (text, len(text))
    told = await store.value(key, 1, max_bytes=size_bytes - 1)
    assert told is not None
    assert (told.value, told.size_bytes) == (b"", size_bytes)
    assert await store.value(key, 3) is None
    # Whoever reads is out of the transaction, or the log would grow for ever.
    assert not store._reader._conn.in_transaction
