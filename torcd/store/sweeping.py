"""Removing what is left of deleted workflows, some rows at a time.

A workflow that is deleted is marked first, which makes it invisible at once and for good. A large
one has hundreds of thousands of rows, and nobody is to wait for all of them: each step is a short
transaction, and one that is interrupted goes on after the next start. The workflow's own row, with
the mark, goes last.
"""

import sqlite3

from torcd.model import WorkflowKey

ROWS_IN_A_STEP = 2_000
"""Some milliseconds, for which a commit may have to wait."""

_PLAIN = (
    ("event", "workflow_key = ?"),
    ("attempt", "workflow_key = ?"),
    ("addition", "workflow_key = ?"),
    ("storer", "workflow_key = ?"),
    ("job_state", "job_key IN (SELECT key FROM job WHERE workflow_key = ?)"),
    ("job", "workflow_key = ?"),
    ("file_state", "file_key IN (SELECT key FROM file WHERE workflow_key = ?)"),
    ("file", "workflow_key = ?"),
    ("user_data", "workflow_key = ?"),
    ("workflow_environment", "workflow_key = ?"),
    ("spec", "workflow_key = ?"),
    ("workflow", "key = ?"),
)
"""Tables, in the order in which they are emptied, and which rows of each are the workflow's."""


_FORGET_FILE = "DELETE FROM value_file WHERE revision_key = ? RETURNING name"
_NAMED = "SELECT 1 FROM value_file WHERE name = ?"


def marked(connection: sqlite3.Connection) -> list[WorkflowKey]:
    """Deleted workflows of which something is left."""
    rows = connection.execute("SELECT key FROM workflow WHERE deleted_at IS NOT NULL ORDER BY key")
    return [WorkflowKey(key) for (key,) in rows]


def sweep(connection: sqlite3.Connection, key: WorkflowKey) -> tuple[bool, list[str]]:
    """One step. Returns whether nothing of the workflow is left, and the files of large values
    that no row names any more."""
    files: list[str] = []
    # SQLite would look through all of `attempt` for each job that is removed. What refers to a
    # row is removed before it, so there is nothing to find.
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("BEGIN IMMEDIATE")
    try:
        left = _sweep_revisions(connection, key, ROWS_IN_A_STEP, files)
        for table, condition in _PLAIN:
            if not left:
                break
            left -= connection.execute(
                f"DELETE FROM {table} WHERE rowid IN"
                f" (SELECT rowid FROM {table} WHERE {condition} LIMIT ?)",
                (key, left),
            ).rowcount
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    finally:
        connection.execute("PRAGMA foreign_keys = ON")
    return left > 0, files


def _sweep_revisions(
    connection: sqlite3.Connection, key: WorkflowKey, most: int, files: list[str]
) -> int:
    """From the newest of each user_data back, since each row knows only the one before it. Returns
    how many more rows the step may remove."""
    rows = connection.execute(
        "SELECT key, newest FROM user_data WHERE workflow_key = ? AND newest IS NOT NULL LIMIT ?",
        (key, most),
    ).fetchall()
    for data_key, newest in rows:
        while newest is not None and most:
            (previous,) = connection.execute(
                "DELETE FROM revision WHERE key = ? RETURNING previous", (newest,)
            ).fetchone()
            for (name,) in connection.execute(_FORGET_FILE, (newest,)).fetchall():
                if connection.execute(_NAMED, (name,)).fetchone() is None:
                    files.append(name)
            newest = previous
            most -= 1
        connection.execute("UPDATE user_data SET newest = ? WHERE key = ?", (newest, data_key))
    return most
