"""What the real store is given to write in these tests, and how to see whether it is there.

A real scheduler decides: workflows are submitted, people and jobs store values, attempts start and
end. Some batches have one event, some have several. What a commit acknowledges are its records.
"""

import contextlib
import random
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec

from tests.store_world import BOOT
from torcd import value
from torcd.model import (
    DataKey,
    Happening,
    Job,
    JobKey,
    Timestamp,
    UserData,
    Workflow,
    WorkflowKey,
)
from torcd.scheduler import Scheduler
from torcd.scheduler import commands as c
from torcd.scheduler import events as e
from torcd.store import Store, value_files

MAX_WORKFLOWS_AT_ONCE = 5
"""With more, what is left over at the end takes longer to look at than to write."""

VALUE_BYTES = (1, 100, 1_000, 9_000, 20_000)
"""The last but one takes several pages."""

LARGE_BYTES = 15_000
"""Values from here on get a file of their own here."""


class Life:
    def __init__(self, store: Store, dice: random.Random) -> None:
        self._store = store
        self._dice = dice
        counters = store.counters()
        self._scheduler = Scheduler(
            next_key=counters.next_key,
            next_attempt_key=counters.next_attempt_key,
            next_happening=counters.next_happening,
        )
        self._now = 1_000_000

    async def take_up(self) -> None:
        """As the daemon does after a start."""
        for key in await self._store.unfinished():
            loaded = await self._store.load(key)
            assert loaded is not None
            await self._commit([loaded.event])

    async def go_on(self, commits: int, acknowledge: Callable[[list[Any]], None]) -> None:
        for _ in range(commits):
            count = self._dice.choice((1, 1, 1, 4))
            # One by one: what the next can be follows from the last.
            acknowledge(await self._commit(self._next_event() for _ in range(count)))

    async def _commit(self, events: Iterable[e.Event]) -> list[Any]:
        """Returns what is acknowledged by it."""
        records: list[c.Record] = []
        happenings: list[Happening] = []
        for event in events:
            for command in self._scheduler.handle(event):
                if isinstance(command, Happening):
                    happenings.append(command)
                elif not isinstance(command, c.Action):
                    records.append(command)
        environments = {
            r.workflow.key: {"PATH": "/bin"} for r in records if isinstance(r, c.CreateWorkflow)
        }
        await self._store.commit(records, happenings, environments=environments, boot_id=BOOT)
        return [what for record in records if (what := _said(record)) is not None] + [
            ("event", happening.number) for happening in happenings
        ]

    def _next_event(self) -> e.Event:
        self._now += 1
        dice = self._dice
        nodes = [node for node in self._scheduler.workflows.values() if not node.is_over]
        attempts = sorted(self._scheduler.active_attempts)
        if not nodes or (len(nodes) < MAX_WORKFLOWS_AT_ONCE and dice.random() < 0.2):
            return self._submission()
        if attempts and dice.random() < 0.5:
            attempt = dice.choice(attempts)
            found = self._scheduler.active_attempt(attempt)
            assert found is not None
            node, job = found
            if dice.random() < 0.5:
                return e.StoreRequested(
                    workflow_key=node.key,
                    data_key=job.job.output_user_data[0],
                    value=self._value(),
                    attempt_key=attempt,
                    at=Timestamp(self._now),
                )
            return e.AttemptExited(
                attempt_key=attempt,
                return_code=dice.choice((0, 0, 0, 3)),
                cpu_seconds=0.5,
                peak_memory_bytes=4096,
                outputs=e.Outputs(),
                at=Timestamp(self._now),
            )
        node = dice.choice(nodes)
        return e.StoreRequested(
            workflow_key=node.key,
            data_key=dice.choice(node.workflow.user_data).key,
            value=self._value(),
            attempt_key=None,
            at=Timestamp(self._now),
        )

    def _submission(self) -> e.SubmitRequested:
        key = self._scheduler.next_key
        n = self._dice.randint(1, 6)
        jobs = tuple(
            Job(
                key=JobKey(key + i),
                name=f"j{i}",
                command="echo " + "x" * 200,
                depends_on=(JobKey(key + i - 1),) if i > 1 and i % 2 else (),
                output_user_data=(DataKey(key + n + 1),),
            )
            for i in range(1, n + 1)
        )
        data = tuple(UserData(key=DataKey(key + n + i), name=f"d{i}") for i in (1, 2))
        return e.SubmitRequested(
            workflow=Workflow(
                key=WorkflowKey(key), name=f"w{key}", jobs=jobs, user_data=data, directory="/"
            ),
            max_parallel_jobs=3,
            initial_values={},
            absent_files=frozenset(),
            wait_for_inputs=False,
            at=Timestamp(self._now),
        )

    def _value(self) -> value.Value:
        size = self._dice.choice(VALUE_BYTES)
        return value.parse(b'"%d %b"' % (self._now, b"v" * size), name="a value")


def _said(record: c.Record) -> Any:
    match record:
        case c.CreateWorkflow():
            return "workflow", record.workflow.key
        case c.SaveValue():
            return "value", record.data_key, record.revision, record.value.text
        case c.SaveAttempt() if record.ended_at is not None:
            return "attempt", record.attempt_key, record.status.value
    return None


async def live(
    path: Path, commits: int, seed: int, acknowledge: Callable[[list[Any]], None]
) -> None:
    """Open the store, go on with what is there, and close it."""
    with mock.patch.object(value_files, "LARGE_BYTES", LARGE_BYTES):
        await _live(path, commits, seed, acknowledge)


async def _live(
    path: Path, commits: int, seed: int, acknowledge: Callable[[list[Any]], None]
) -> None:
    async with Store.open(path) as store:
        life = Life(store, random.Random(seed))
        await life.take_up()
        await life.go_on(commits, acknowledge)


def missing(path: Path, acknowledged: list[Any]) -> list[Any]:
    """Of what was acknowledged."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        there = set(_there(connection, value_files.directory_of(path)))
    return [what for what in acknowledged if what not in there]


def _there(connection: sqlite3.Connection, values: Path) -> Iterator[Any]:
    for (key,) in connection.execute("SELECT key FROM workflow"):
        yield "workflow", key
    for key, revision, text, file in connection.execute(
        "SELECT data_key, revision, value, name FROM revision r"
        " LEFT JOIN value_file f ON f.revision_key = r.key"
    ):
        if file is not None and not (values / file).is_file():
            continue
        yield "value", key, revision, text if file is None else (values / file).read_bytes()
    for row in connection.execute("SELECT key, status FROM attempt"):
        yield "attempt", *row
    for (text,) in connection.execute("SELECT happenings FROM event"):
        for happening in msgspec.json.decode(text):
            yield "event", happening["number"]
