"""Values become rows: a revision each, and which of them is the newest.

One that is stored alone is written by a single statement, which is a transaction by itself: each
statement costs some microseconds, and it would be six. So this connection has a view of what such a
commit writes, and what it is to become is said where a row is inserted there.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import cast

import msgspec

from torcd.model import DataKey, Happening
from torcd.scheduler.commands import ClearValue, SaveInitialAgain, SaveValue
from torcd.store.rows import Counters

LARGE_BYTES = 256 << 10
"""Values from here on that have no file are written in place: SQLite makes no copy of them, and
keeps none."""

_encode = msgspec.json.Encoder().encode

_LONE_VALUE = """
CREATE TEMP VIEW lone_value AS
SELECT r.data_key, r.revision, r.run_id, r.attempt_key, r.stored_at, r.sha256, r.value,
    d.changed_at, d.workflow_key, e.first_number, e.happenings, m.next_event_number, m.commits
FROM revision r JOIN user_data d ON d.key = r.data_key, event e, meta m;

CREATE TEMP TRIGGER write_lone_value INSTEAD OF INSERT ON lone_value BEGIN
    INSERT INTO revision
        (data_key, revision, previous, run_id, attempt_key, stored_at, sha256, value)
    VALUES (NEW.data_key, NEW.revision, (SELECT newest FROM user_data WHERE key = NEW.data_key),
        NEW.run_id, NEW.attempt_key, NEW.stored_at, NEW.sha256, NEW.value);
    UPDATE user_data SET newest = last_insert_rowid(), changed_at = NEW.changed_at, cleared = 0
    WHERE key = NEW.data_key;
    INSERT INTO event (first_number, workflow_key, happenings)
    VALUES (NEW.first_number, NEW.workflow_key, NEW.happenings);
    UPDATE meta SET next_event_number = NEW.next_event_number, commits = NEW.commits;
END;
"""


def get_ready(connection: sqlite3.Connection) -> None:
    """Before anything else of this."""
    connection.executescript(_LONE_VALUE)


def write_lone(
    saved: SaveValue, happening: Happening, connection: sqlite3.Connection, written: Counters
) -> Counters:
    """A transaction of a value that is not large, that it was stored, and where counting goes on;
    otherwise as `torcd.store.writing.write`."""
    next_happening, commits = happening.number + 1, written.commits + 1
    connection.execute(
        "INSERT INTO lone_value VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            saved.data_key,
            saved.revision,
            saved.run_id,
            saved.attempt_key,
            saved.at,
            bytes.fromhex(saved.value.sha256),
            saved.value.text,
            saved.changed_at,
            saved.workflow_key,
            happening.number,
            _encode((happening,)).decode(),
            next_happening,
            commits,
        ),
    )
    return Counters(written.next_key, written.next_attempt_key, next_happening, commits)


def write_values(
    connection: sqlite3.Connection, values: Sequence[SaveValue | SaveInitialAgain | ClearValue]
) -> None:
    """In their order; those that are stored one after the other at once."""
    for kind, same in groupby(values, type):
        if kind is SaveValue:
            _write_stored(connection, cast("Iterator[SaveValue]", same))
            continue
        for saved in same:
            if isinstance(saved, SaveInitialAgain):
                _write_initial_again(connection, saved)
            else:
                clear = "UPDATE user_data SET cleared = 1 WHERE key = ?"
                connection.execute(clear, (saved.data_key,))


def _write_initial_again(connection: sqlite3.Connection, saved: SaveInitialAgain) -> None:
    # There is no index over revisions; each knows the one before it.
    (initial,) = connection.execute(
        "WITH RECURSIVE chain (key, previous, run_id) AS ("
        " SELECT r.key, r.previous, r.run_id FROM user_data d JOIN revision r ON r.key = d.newest"
        " WHERE d.key = ?"
        " UNION ALL SELECT r.key, r.previous, r.run_id"
        " FROM chain c JOIN revision r ON r.key = c.previous)"
        " SELECT max(key) FROM chain WHERE run_id = 0",
        (saved.data_key,),
    ).fetchone()
    cursor = connection.execute(
        "INSERT INTO revision (data_key, revision, previous, run_id, stored_at, sha256, value)"
        " SELECT r.data_key, ?, d.newest, 0, ?, r.sha256, r.value"
        " FROM revision r JOIN user_data d ON d.key = r.data_key WHERE r.key = ?",
        (saved.revision, saved.at, initial),
    )
    connection.execute(
        "INSERT INTO value_file (revision_key, name, size_bytes)"
        " SELECT ?, name, size_bytes FROM value_file WHERE revision_key = ?",
        (cursor.lastrowid, initial),
    )
    connection.execute(
        "UPDATE user_data SET newest = ?, changed_at = ?, cleared = 0 WHERE key = ?",
        (cursor.lastrowid, saved.changed_at, saved.data_key),
    )


def _write_stored(connection: sqlite3.Connection, values: Iterable[SaveValue]) -> None:
    (first,) = connection.execute("SELECT coalesce(max(key), 0) + 1 FROM revision").fetchone()
    newest: dict[DataKey, int] = {}
    changed_at: dict[DataKey, int] = {}
    rows = []
    large: list[tuple[int, bytes | memoryview]] = []
    files: list[tuple[int, str, int]] = []
    for key, saved in enumerate(values, first):
        data_key, value = saved.data_key, saved.value
        text: bytes | memoryview | None = value.text
        size = len(value.text)
        if value.file is not None:
            files.append((key, value.file, size))
            text, size = None, 0
        # A statement keeps what was bound to it last, so a large value goes another way.
        elif size > LARGE_BYTES:
            large.append((key, value.text))
            text = None
        rows.append(
            (
                key,
                data_key,
                saved.revision,
                newest.get(data_key),
                data_key,
                saved.run_id,
                saved.attempt_key,
                saved.at,
                bytes.fromhex(value.sha256),
                text,
                size,
            )
        )
        newest[data_key] = key
        changed_at[data_key] = saved.changed_at
    connection.executemany(
        "INSERT INTO revision (key, data_key, revision, previous, run_id, attempt_key, stored_at,"
        " sha256, value)"
        " VALUES (?, ?, ?, coalesce(?, (SELECT newest FROM user_data WHERE key = ?)), ?, ?, ?, ?,"
        " coalesce(?, zeroblob(?)))",
        rows,
    )
    for key, text in large:
        with connection.blobopen("revision", "value", key) as blob:
            blob.write(text)
    if files:
        connection.executemany(
            "INSERT INTO value_file (revision_key, name, size_bytes) VALUES (?, ?, ?)", files
        )
    connection.executemany(
        "UPDATE user_data SET newest = ?, changed_at = ?, cleared = 0 WHERE key = ?",
        [(key, changed_at[data_key], data_key) for data_key, key in newest.items()],
    )
