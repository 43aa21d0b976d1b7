"""What the store does costs what it is about, not what else the database holds: no statement but
the list of workflows goes through a table row by row."""

import re
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from tests.store_world import (
    add_attempt,
    commit,
    create,
    data_key,
    happening,
    save_attempt,
    save_job,
    save_value,
    save_workflow,
)
from torcd.model import AttemptKey, JobStatus, WorkflowKey, WorkflowStatus
from torcd.scheduler.commands import RemoveAttempt
from torcd.store import Store, pruning, reading
from torcd.store.connection import ThreadedConnection
from torcd.store.rows import Removable

W = WorkflowKey(1)
_CREATION = create()
_DATA = data_key(_CREATION)

_GROWING = "job|job_state|file|user_data|revision|attempt|event|[jsardb]"
"""Tables that grow with what is run, and the short names they have in statements."""


class Statements:
    """All that a connection executes, with the values put in."""

    def __init__(self) -> None:
        self.found: list[str] = []

    async def record(self, connection: ThreadedConnection) -> None:
        await connection.call(lambda c: c.set_trace_callback(self.found.append))


async def prepared(store: Store) -> None:
    await commit(
        store,
        _CREATION,
        add_attempt(1, 2),
        add_attempt(2, 3),
        save_value(_DATA, 1, b"1", attempt_key=1),
        happenings=[happening(1)],
    )


async def commits(store: Store) -> None:
    await commit(
        store,
        create(10),
        add_attempt(3, 2, attempt_id=2),
        save_attempt(1),
        RemoveAttempt(AttemptKey(2)),
        save_job(2, JobStatus.COMPLETED),
        save_value(_DATA, 2, b"2", attempt_key=3),
        save_workflow(1, WorkflowStatus.COMPLETED),
        happenings=[happening(2), happening(3, 10)],
    )


async def reads(store: Store) -> None:
    await store.load(W)
    await store.workflow(W)
    await store.newest_workflow()
    await store.unfinished()
    await store.workflows()
    await store.attempts(W)
    await store.attempts(W, run_id=1)
    await store.value(_DATA)
    await store.value(_DATA, 1)
    await store.revisions(_DATA)
    await store.happenings(1)
    await store.happenings(1, workflow_key=W)


async def removals(store: Store) -> None:
    old = Removable(workflow_key=W, runs=1)
    await store.note_storers(old)
    await store.mark_removed(old)
    await store.remove_attempts([AttemptKey(1)])
    await store.remove_events(old)
    await store._writer.call(lambda c: pruning.removable(c, 1, W))
    await store._writer.call(lambda c: pruning.old_attempts(c, old, (0, AttemptKey(0))))
    await store._writer.call(lambda c: reading.attempts(c, W, 1, None))


@pytest.mark.parametrize(
    ("work", "which"),
    [
        (commits, lambda store: store._writer),
        (reads, lambda store: store._reader),
        (removals, lambda store: store._writer),
    ],
    ids=["commits", "reads", "removals"],
)
def test_no_table_that_grows_is_gone_through(
    work: Callable[[Store], Awaitable[None]],
    which: Callable[[Store], ThreadedConnection],
    tmp_path: Path,
) -> None:
    statements = Statements()

    async def run() -> list[str]:
        async with Store.open(tmp_path / "torcd.db") as store:
            await prepared(store)
            await statements.record(which(store))
            await work(store)
            await which(store).call(lambda c: c.set_trace_callback(None))
            return await store._reader.call(scans)

    def scans(connection: sqlite3.Connection) -> list[str]:
        return [
            f"{step}: {sql}"
            for sql in statements.found
            if not sql.startswith(("BEGIN", "COMMIT", "--"))
            for *_, step in connection.execute("EXPLAIN QUERY PLAN " + sql)
            if re.match(rf"SCAN ({_GROWING})\b", step)
        ]

    assert anyio.run(run) == []
    assert len(statements.found) > 10
