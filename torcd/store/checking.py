"""Is a database whole? Every invariant that there is, looked at in one snapshot, writing nothing.

From the bottom up: SQLite's pages and references; the schema; the mark beside it; the counters; the
values with their hashes; attempts, jobs and workflows among one another; and last each workflow
goes through the loader of the daemon into a scheduler, whose own invariants are checked. Where a
lower level is broken those above it are not looked at: they would only tell the same again.
"""

import contextlib
import itertools
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from torcd.errors import LostValue, StoreError
from torcd.model import Capacity, Timestamp, Workflow, WorkflowKey
from torcd.scheduler import Scheduler
from torcd.scheduler.invariants import violations
from torcd.store import agreement, loading, reading, schema, value_files
from torcd.store.agreement import Found, Problem
from torcd.store.failure import store_error
from torcd.store.mark import Mark, identity, read_mark
from torcd.store.recognition import schema_version

MAX_PROBLEMS_OF_A_CHECK = 100
"""Who has so many of a kind learns nothing from more."""

_COUNTED = {
    "workflows": "workflow",
    "jobs": "job",
    "attempts": "attempt",
    "user_data": "user_data",
    "revisions": "revision",
}


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What `torcd check-db` found."""

    path: str
    version: int
    """Of its schema."""
    counts: dict[str, int]
    """How many there are of each kind; empty where there are problems."""
    items: tuple[Problem, ...]

    @property
    def is_sound(self) -> bool:
        return not self.items


def check(path: Path, capacity: Capacity) -> Checked:
    """Look at a database, in use or not. `capacity`: what the daemon has for jobs that ask.

    Raises StoreError when there is none, or it cannot be read at all.
    """
    # First: a daemon at work only moves away from it.
    mark = read_mark(path)
    try:
        with contextlib.closing(schema.look_into(path)) as connection:
            connection.execute("BEGIN")
            version = schema_version(connection, path)
            problems, counts = _checked(connection, path, mark, capacity, version)
    except (StoreError, sqlite3.Error) as error:
        cause = error.__cause__ if isinstance(error, StoreError) else error
        if getattr(cause, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT:
            version, counts = 0, {}
            problems = [Problem("integrity", "database", str(cause))]
        elif isinstance(error, StoreError):
            raise
        else:
            raise store_error(path, "read", error) from error
    return Checked(path=str(path), version=version, counts=counts, items=tuple(problems))


def _checked(
    connection: sqlite3.Connection,
    path: Path,
    mark: Mark | None,
    capacity: Capacity,
    version: int,
) -> tuple[list[Problem], dict[str, int]]:
    levels: list[list[Callable[[sqlite3.Connection], Found]]] = [
        [_integrity],
        [lambda c: _schema(c, version)],
        [_foreign_keys, lambda c: _age(c, mark)],
        list(agreement.CHECKS),
        [lambda c: _value_files(c, path), lambda c: _loading(c, capacity)],
    ]
    problems: list[Problem] = []
    for level in levels:
        for one in level:
            problems += itertools.islice(one(connection), MAX_PROBLEMS_OF_A_CHECK)
        if problems:
            return problems, {}
    return problems, {
        name: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for name, table in _COUNTED.items()
    }


# The file


def _integrity(connection: sqlite3.Connection) -> Found:
    for (line,) in connection.execute(f"PRAGMA integrity_check({MAX_PROBLEMS_OF_A_CHECK})"):
        if line != "ok":
            yield Problem("integrity", "database", line)


def _foreign_keys(connection: sqlite3.Connection) -> Found:
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        yield Problem("references", f"{table} {row}", f"refers to a {parent} that is not there")


def _schema(connection: sqlite3.Connection, version: int) -> Found:
    newest = schema.newest_version()
    if version > newest:
        message = f"it has version {version}, and this torcd knows {newest}; use a newer torcd"
        yield Problem("schema", "database", message)
        return
    if version < newest:
        message = f"it has version {version}, and this torcd has {newest}; run: torcd migrate"
        yield Problem("schema", "database", message)
        return
    with contextlib.closing(sqlite3.connect(":memory:")) as fresh:
        for _, sql in schema.migrations():
            fresh.executescript(sql)
        wanted, found = _objects(fresh), _objects(connection)
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            yield Problem("schema", name, "is missing")
        elif name not in wanted:
            yield Problem("schema", name, "does not belong here")
        elif wanted[name] != found[name]:
            yield Problem("schema", name, "is not as the migrations make it")


def _objects(connection: sqlite3.Connection) -> dict[str, str | None]:
    rows = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%'"
    )
    return dict(rows.fetchall())


def _age(connection: sqlite3.Connection, mark: Mark | None) -> Found:
    rows = connection.execute("SELECT count(*) FROM meta").fetchone()[0]
    if rows != 1:
        yield Problem("counters", "meta", f"it has {rows} rows, and should have one")
        return
    if mark is None:
        return
    secret, counters = reading.meta(connection)
    if identity(secret) != mark.database:
        yield Problem(
            "age", "database", "it is not the one that this state directory was used with"
        )
    elif counters.is_behind(mark.counters):
        yield Problem(
            "age",
            "database",
            f"it is an older copy: it was written to {counters.commits} times, and torcd has "
            f"written to it {mark.counters.commits} times",
        )


def _value_files(connection: sqlite3.Connection, path: Path) -> Found:
    """Large values are in their files, and are what they were."""
    found: list[tuple[int, Problem]] = []
    for workflow, data, number, sha256, name, size_bytes in connection.execute(
        "SELECT d.workflow_key, d.key, r.revision, r.sha256, f.name, f.size_bytes"
        " FROM value_file f JOIN revision r ON r.key = f.revision_key"
        " JOIN user_data d ON d.key = r.data_key JOIN workflow w ON w.key = d.workflow_key"
        " WHERE w.deleted_at IS NULL"
    ):
        subject = f"user_data {data}"
        try:
            text = value_files.read(value_files.directory_of(path), name, size_bytes)
        except LostValue as error:
            found.append((workflow, Problem("values", subject, str(error))))
            continue
        if agreement.identity_of(bytes(text)) != sha256:
            message = f"the SHA-256 of revision {number} is not that of its value, the file {name}"
            found.append((workflow, Problem("hashes", subject, message)))
    if not found:
        return
    # Files of a workflow go when it is deleted, which may have been since we began to look.
    with contextlib.closing(schema.look_into(path)) as now:
        kept = {key for (key,) in now.execute("SELECT key FROM workflow WHERE deleted_at IS NULL")}
    yield from (problem for workflow, problem in found if workflow in kept)


# Each workflow


def _loading(connection: sqlite3.Connection, capacity: Capacity) -> Found:
    """Each workflow by itself, so that the memory this takes is that of one."""
    counters = reading.meta(connection)[1]
    for (key,) in connection.execute("SELECT key FROM workflow ORDER BY key").fetchall():
        subject = f"workflow {key}"
        scheduler = Scheduler(
            next_key=counters.next_key,
            next_attempt_key=counters.next_attempt_key,
            next_happening=counters.next_happening,
            capacity=capacity,
        )
        try:
            loaded = loading.load_within(connection, WorkflowKey(key), Timestamp(0))
            if loaded is not None:
                for problem in _strangers(loaded.event.workflow):
                    yield Problem("references", subject, problem)
                scheduler.handle(loaded.event)
                for problem in violations(scheduler):
                    yield Problem("scheduler", subject, problem)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever damage leads to is told
            yield Problem("loading", subject, f"cannot be loaded: {type(error).__name__}: {error}")


def _strangers(workflow: Workflow) -> Iterator[str]:
    """What jobs name, and the workflow does not have."""
    jobs = {job.key for job in workflow.jobs}
    files = {file.key for file in workflow.files}
    data = {one.key for one in workflow.user_data}
    for job in workflow.jobs:
        for kind, known, named in (
            ("job", jobs, workflow.depends_on(job)),
            ("file", files, (*workflow.input_files(job), *job.output_files)),
            ("user_data", data, (*workflow.input_user_data(job), *job.output_user_data)),
        ):
            for key in named:
                if key not in known:
                    yield f'"{job.name}" names {kind} {key}, which is not there'
