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

from torcd import value
from torcd.errors import InvalidValue, StoreError
from torcd.model import WORKFLOW_OVER, Capacity, Happening, Timestamp, Workflow, WorkflowKey
from torcd.scheduler import Scheduler
from torcd.scheduler.invariants import violations
from torcd.store import loading, reading, schema
from torcd.store.counting import counts_of
from torcd.store.failure import store_error
from torcd.store.mark import Mark, identity, read_mark
from torcd.store.pruning import REFERRED_TO
from torcd.store.recognition import schema_version
from torcd.store.rows import Counters

MAX_PROBLEMS_OF_A_CHECK = 100
"""Who has so many of a kind learns nothing from more."""

_OVER = ", ".join(f"'{status.value}'" for status in WORKFLOW_OVER)
_ENDED = "'completed', 'failed', 'canceled', 'terminated'"

# Their rows go some at a time, and what is left of them need not agree.
_DELETED = "SELECT key FROM workflow WHERE deleted_at IS NOT NULL"

_PRESENT_JOBS = f"SELECT key FROM job WHERE removed_at IS NULL AND workflow_key NOT IN ({_DELETED})"

_COUNTED = {
    "workflows": "workflow",
    "jobs": "job",
    "attempts": "attempt",
    "user_data": "user_data",
    "revisions": "revision",
}

_decode_happenings = msgspec.json.Decoder(list[Happening]).decode


class Problem(msgspec.Struct, frozen=True):
    check: str
    """Which invariant: a word."""
    subject: str
    """What it is about, as `workflow 7`."""
    message: str


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


_Found = Iterator[Problem]


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
            problems, counts = _checked(connection, mark, capacity, version)
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
    connection: sqlite3.Connection, mark: Mark | None, capacity: Capacity, version: int
) -> tuple[list[Problem], dict[str, int]]:
    levels: list[list[Callable[[sqlite3.Connection], _Found]]] = [
        [_integrity],
        [lambda c: _schema(c, version)],
        [_foreign_keys, lambda c: _age(c, mark)],
        [_counters, _events, _values, _hashes, _attempts, _jobs, _workflows],
        [lambda c: _loading(c, capacity)],
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


def _integrity(connection: sqlite3.Connection) -> _Found:
    for (line,) in connection.execute(f"PRAGMA integrity_check({MAX_PROBLEMS_OF_A_CHECK})"):
        if line != "ok":
            yield Problem("integrity", "database", line)


def _foreign_keys(connection: sqlite3.Connection) -> _Found:
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        yield Problem("references", f"{table} {row}", f"refers to a {parent} that is not there")


def _schema(connection: sqlite3.Connection, version: int) -> _Found:
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


def _age(connection: sqlite3.Connection, mark: Mark | None) -> _Found:
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


# Numbers


def _counters(connection: sqlite3.Connection) -> _Found:
    counters: Counters = reading.meta(connection)[1]
    for table, column, bound in (
        ("workflow", "key", counters.next_key),
        ("job", "key", counters.next_key),
        ("file", "key", counters.next_key),
        ("user_data", "key", counters.next_key),
        ("attempt", "key", counters.next_attempt_key),
    ):
        for (key,) in connection.execute(f"SELECT {column} FROM {table} WHERE key >= ?", (bound,)):
            yield Problem("counters", f"{table} {key}", f"its key would be given again at {bound}")
    for key, count in connection.execute(
        "SELECT key, count(*) FROM (SELECT key FROM workflow UNION ALL SELECT key FROM job"
        " UNION ALL SELECT key FROM file UNION ALL SELECT key FROM user_data)"
        " GROUP BY key HAVING count(*) > 1"
    ):
        yield Problem("counters", f"key {key}", f"{count} things have it")


def _events(connection: sqlite3.Connection) -> _Found:
    """Rows may have gone with their workflow; those that are there follow one another."""
    next_number = 1
    last = reading.meta(connection)[1].next_happening
    for first, workflow, text in connection.execute(
        "SELECT first_number, workflow_key, happenings FROM event ORDER BY first_number"
    ):
        subject = f"event {first}"
        try:
            happenings = _decode_happenings(text)
        except msgspec.MsgspecError as error:
            yield Problem("events", subject, f"cannot be read: {error}")
            continue
        if [h.number for h in happenings] != list(range(first, first + len(happenings))):
            yield Problem("events", subject, "its numbers do not follow one another")
        if first < next_number:
            yield Problem("events", subject, f"its number was given before {next_number}")
        next_number = first + len(happenings)
        if next_number > last:
            yield Problem("events", subject, f"its number would be given again at {last}")
        if any(h.workflow_key != workflow for h in happenings):
            yield Problem("events", subject, f"is not of workflow {workflow} alone")


# Values


def _values(connection: sqlite3.Connection) -> _Found:
    """Revisions count from 1 without gaps, each points to the one before, the last is newest."""
    rows = connection.execute(
        "SELECT d.key, d.newest, r.key, r.revision, r.previous FROM user_data d"
        " LEFT JOIN revision r ON r.data_key = d.key ORDER BY d.key, r.revision, r.key"
    )
    for (key, newest), revisions in itertools.groupby(rows, lambda row: row[:2]):
        subject = f"user_data {key}"
        last: int | None = None
        for position, (_, _, row, number, previous) in enumerate(revisions, start=1):
            if row is None:
                continue
            if number != position:
                yield Problem("revisions", subject, f"revision {number} stands at {position}")
            if previous != last:
                yield Problem("revisions", subject, f"revision {number} does not follow the last")
            last = row
        if newest != last:
            yield Problem("revisions", subject, "what it has as the newest is not its last")
    for key, attempt in connection.execute(
        "SELECT data_key, attempt_key FROM revision"
        " WHERE attempt_key IS NOT NULL AND attempt_key NOT IN (SELECT key FROM attempt)"
        " AND attempt_key NOT IN (SELECT attempt_key FROM storer)"
    ):
        message = f"attempt {attempt} stored a revision, and is not there"
        yield Problem("revisions", f"user_data {key}", message)


def _identity(text: bytes) -> bytes | None:
    """None: it is no value at all."""
    try:
        return bytes.fromhex(value.parse(text, name="", max_bytes=len(text)).sha256)
    except InvalidValue:
        return None


def _hashes(connection: sqlite3.Connection) -> _Found:
    for key, number, sha256, text in connection.execute(
        "SELECT data_key, revision, sha256, value FROM revision"
    ):
        if _identity(text) != sha256:
            message = f"the SHA-256 of revision {number} is not that of its value"
            yield Problem("hashes", f"user_data {key}", message)


# What runs and has run


def _attempts(connection: sqlite3.Connection) -> _Found:
    for key, problem in connection.execute(
        "SELECT a.key, CASE"
        " WHEN w.key IS NULL THEN 'its workflow ' || a.workflow_key || ' is not there'"
        " WHEN b.key IS NULL THEN 'its boot of the machine is not there'"
        " WHEN (a.job_key IS NULL) = (a.action IS NULL)"
        "  THEN 'is of a job and of an action, or of neither'"
        " WHEN j.key IS NOT NULL AND j.workflow_key != a.workflow_key"
        "  THEN 'its job is of workflow ' || j.workflow_key"
        f" WHEN (a.status IN ({_ENDED})) != (a.ended_at IS NOT NULL)"
        "  THEN 'is ' || a.status || ', and ended at ' || coalesce(a.ended_at, 'no time')"
        " WHEN a.run_id > w.run_id THEN 'is of run ' || a.run_id || ', which has yet to come'"
        f" WHEN a.ended_at IS NULL AND w.status IN ({_OVER})"
        "  THEN 'has not ended, and its workflow is ' || w.status"
        " WHEN a.ended_at IS NULL AND a.run_id != w.run_id"
        "  THEN 'has not ended, and run ' || a.run_id || ' has'"
        " END AS problem"
        " FROM attempt a LEFT JOIN workflow w ON w.key = a.workflow_key"
        " LEFT JOIN boot b ON b.key = a.boot_key LEFT JOIN job j ON j.key = a.job_key"
        " WHERE problem IS NOT NULL AND w.deleted_at IS NULL"
    ):
        yield Problem("attempts", f"attempt {key}", problem)
    for job, run, count, newest, active in connection.execute(
        "SELECT job_key, a.run_id, count(DISTINCT attempt_id), max(attempt_id),"
        " sum(a.ended_at IS NULL) FROM attempt"
        " a JOIN workflow w ON w.key = a.workflow_key"
        " WHERE job_key IS NOT NULL AND NOT is_recovery AND deleted_at IS NULL"
        # Of removed runs, some are gone and some not yet; what is referred to is all there.
        f" AND (a.run_id > w.removed_runs OR {REFERRED_TO})"
        " GROUP BY job_key, a.run_id"
        " HAVING count(*) != max(attempt_id) OR count(DISTINCT attempt_id) != max(attempt_id)"
        " OR sum(a.ended_at IS NULL) > 1"
    ):
        message = f"run {run} has {count} attempts up to number {newest}, {active} at work"
        yield Problem("attempts", f"job {job}", message)


def _jobs(connection: sqlite3.Connection) -> _Found:
    for key, status, attempt, problem in connection.execute(
        "SELECT s.job_key, s.status, s.attempt_id, CASE"
        " WHEN a.key IS NULL THEN 'is not there' ELSE 'has not ended' END"
        " FROM job_state s LEFT JOIN attempt a"
        " ON a.job_key = s.job_key AND a.run_id = s.run_id AND a.attempt_id = s.attempt_id"
        " AND NOT a.is_recovery"
        f" WHERE s.status IN ({_ENDED}) AND s.attempt_id > 0 AND a.ended_at IS NULL"
        # What an edit has taken out keeps no attempts of removed runs.
        f" AND s.job_key IN ({_PRESENT_JOBS})"
    ):
        message = f"is {status}, and its attempt {attempt} {problem}"
        yield Problem("jobs", f"job {key}", message)
    for key, attempt in connection.execute(
        "SELECT job_key, trace_attempt FROM job_state WHERE trace_attempt IS NOT NULL"
        " AND trace_attempt NOT IN (SELECT key FROM attempt WHERE ended_at IS NOT NULL)"
        f" AND job_key IN ({_PRESENT_JOBS})"
    ):
        message = f"attempt {attempt} was its last to complete, and is not there, or not over"
        yield Problem("jobs", f"job {key}", message)


def _workflows(connection: sqlite3.Connection) -> _Found:
    for key, status, ended in connection.execute(
        "SELECT key, status, ended_at FROM workflow"
        f" WHERE (status IN ({_OVER})) != (ended_at IS NOT NULL)"
    ):
        yield Problem("workflows", f"workflow {key}", f"is {status}, and ended at {ended}")
    for key, removed, run in connection.execute(
        "SELECT key, removed_runs, run_id FROM workflow WHERE removed_runs >= run_id"
    ):
        message = f"its first {removed} runs are removed, and it is at run {run}"
        yield Problem("workflows", f"workflow {key}", message)
    for (key,) in connection.execute(
        "SELECT key FROM workflow WHERE deleted_at IS NULL"
        " AND key NOT IN (SELECT workflow_key FROM workflow_environment)"
    ):
        yield Problem("workflows", f"workflow {key}", "what its jobs inherit is not there")
    for key, text in connection.execute(
        "SELECT key, job_counts FROM workflow WHERE job_counts NOT NULL AND deleted_at IS NULL"
    ):
        there_are = counts_of(connection, key)
        if msgspec.json.decode(text) != there_are:
            message = f"its jobs were counted as {text}, and there are {there_are}"
            yield Problem("workflows", f"workflow {key}", message)


def _loading(connection: sqlite3.Connection, capacity: Capacity) -> _Found:
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
