"""What a job costs the daemon beside its decisions, counted in calls and statements: no clock."""

import json
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import anyio

from tests.unit.controller.still_life import still_life
from tests.unit.scheduler.specs import JobSpec, job, parsed, workflow
from torcd.accounts import Accounts
from torcd.controller.harvest import Harvester
from torcd.controller.launching import Launcher
from torcd.controller.layout import Layout
from torcd.executors.base import Exited, Started
from torcd.model import AttemptKey, Happening, Timestamp, WorkflowKey
from torcd.scheduler import Scheduler
from torcd.scheduler import events as e
from torcd.scheduler.commands import Record, StartAttempt, StartCommand
from torcd.store import reading, writing
from torcd.store.schema import open_database
from torcd.validation import Checker

FILES = {"stat", "lstat", "mkdir", "open", "unlink", "listdir", "scandir", "access"}
JOBS = 40


MOST_CALLS = 23
"""Of functions written in Python, for a job's start, its end, and the order for another one."""

MOST_CALLS_OF_ROWS = 5
"""The same for what is written of them."""

MOST_BYTES = 2_200
"""Of the write-ahead log for a job, with its happenings; a page is written by each commit in which
something of it changes."""


def submitted(
    scheduler: Scheduler, jobs: dict[str, JobSpec] | None = None, parallel: int = JOBS
) -> list[Any]:
    return scheduler.handle(
        e.SubmitRequested(
            workflow=workflow(jobs or {f"j{i}": job() for i in range(JOBS)}),
            max_parallel_jobs=parallel,
            initial_values={},
            absent_files=frozenset(),
            wait_for_inputs=False,
            at=1,
        )
    )


def ended(attempt_key: int) -> e.AttemptExited:
    return e.AttemptExited(
        attempt_key=AttemptKey(attempt_key),
        return_code=0,
        cpu_seconds=0.0,
        peak_memory_bytes=1,
        outputs=e.Outputs(),
        at=2,
    )


def ran(scheduler: Scheduler, attempt_key: int) -> list[Any]:
    started = e.AttemptStarted(AttemptKey(attempt_key), 2)
    return scheduler.handle(started) + scheduler.handle(ended(attempt_key))


def file_calls(act: Callable[[], Any]) -> Counter[str]:
    """The calls about files that it makes, by name."""
    calls: Counter[str] = Counter()

    def look(frame: FrameType, kind: str, argument: Any) -> None:
        if kind == "c_call" and argument.__name__ in FILES:
            calls[argument.__name__] += 1

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        act()
    finally:
        sys.setprofile(before)
    return calls


def test_only_the_first_order_of_a_workflow_touches_files(tmp_path: Path) -> None:
    scheduler = Scheduler()
    starts = [c for c in submitted(scheduler) if isinstance(c, StartAttempt | StartCommand)]
    node = scheduler.workflows[starts[0].workflow_key]
    launcher = Launcher(Layout(str(tmp_path)), b"s" * 32, "/bin/bash")

    def order(start: StartAttempt) -> None:
        launcher.order(start, node.workflow)

    assert file_calls(lambda: order(starts[0])) == {"mkdir": 2}
    assert file_calls(lambda: [order(start) for start in starts[1:]]) == {}


def test_a_job_that_left_nothing_takes_one_look_for_its_files(tmp_path: Path) -> None:
    scheduler = Scheduler()
    submitted(scheduler)
    taken: list[e.AttemptExited] = []
    layout = Layout(str(tmp_path))
    harvester = Harvester(
        scheduler, Accounts(), layout, 1, Checker(), lambda event, _: taken.append(event)
    )

    def end_all() -> None:
        for key in range(1, JOBS + 1):
            harvester.take(ended(key))
        harvester.clear([event.attempt_key for event in taken])

    assert file_calls(end_all) == {"access": JOBS}
    assert len(taken) == JOBS


async def calls_for(jobs: int, state_dir: Path) -> Counter[str]:
    """Of functions, by module, for so many jobs that start and end, and as many that are ordered:
    in the thread of the loop."""
    spec = {"jobs": [{"name": f"j{i}", "command": "true && true"} for i in range(2 * jobs)]}
    called: Counter[str] = Counter()

    def note(frame: FrameType, kind: str, argument: Any) -> None:
        if kind == "call":
            called[frame.f_globals["__name__"]] += 1

    async with still_life(state_dir) as world:
        await world.submit(json.dumps(spec).encode(), max_parallel_jobs=jobs)
        keys = [order.attempt_key for order in world.executor.ordered]
        assert len(keys) == jobs
        before = sys.getprofile()
        sys.setprofile(note)
        try:
            world.executor.report([Started(key, 1, Timestamp(2)) for key in keys])
            world.executor.report([Exited(key, 0, Timestamp(3), None, None) for key in keys])
            while len(world.executor.ordered) < 2 * jobs:
                await anyio.lowlevel.checkpoint()
        finally:
            sys.setprofile(before)
        assert world.executor.acknowledged == keys
    return called


async def test_a_job_takes_few_calls_beside_its_decisions(tmp_path: Path) -> None:
    few, many = await calls_for(20, tmp_path / "few"), await calls_for(60, tmp_path / "many")
    more = {name: (many[name] - few[name]) / 40 for name in many if name.startswith("torcd.")}
    aside = {name: n for name, n in more.items() if not name.startswith("torcd.scheduler") and n}
    assert sum(aside.values()) <= MOST_CALLS, aside


def test_values_of_a_commit_take_a_statement_for_each_row(tmp_path: Path) -> None:
    def statements(values: int) -> int:
        scheduler = Scheduler()
        connection, _ = open_database(tmp_path / f"{values}.db")
        try:
            commit(connection, submitted(scheduler, {"j": job(stores="d")}))
            (data_key,) = scheduler.workflows[WorkflowKey(1)].data
            commands = []
            for number in range(values):
                commands += scheduler.handle(
                    e.StoreRequested(
                        workflow_key=WorkflowKey(1),
                        data_key=data_key,
                        value=parsed(str(number)),
                        attempt_key=AttemptKey(1),
                        at=2,
                    )
                )
            return traced(connection, commands)
        finally:
            connection.close()

    # A revision each, and which is the newest once.
    assert statements(30) - statements(10) == 20


def test_what_a_job_comes_to_on_disk_is_bounded(tmp_path: Path) -> None:
    scheduler = Scheduler()
    connection, _ = open_database(tmp_path / "torcd.db")
    log = tmp_path / "torcd.db-wal"
    jobs = 1_200
    try:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        commit(connection, submitted(scheduler, {f"j{i}": job() for i in range(jobs)}, 48))
        before = log.stat().st_size
        for first in range(1, jobs + 1, 24):
            commands = [c for key in range(first, first + 24) for c in ran(scheduler, key)]
            commit(connection, commands)
        written = (log.stat().st_size - before) / jobs
    finally:
        connection.close()
    # Whole pages of 4 KiB are written; 24 jobs share those of a commit.
    assert written < MOST_BYTES, written


def test_more_jobs_in_a_commit_take_no_more_statements_but_one_for_each_row(
    tmp_path: Path,
) -> None:
    def statements(n: int) -> int:
        scheduler = Scheduler()
        connection, _ = open_database(tmp_path / f"{n}.db")
        try:
            commit(connection, submitted(scheduler))
            commands = [c for key in range(1, n + 1) for c in scheduler.handle(ended(key))]
            return traced(connection, commands)
        finally:
            connection.close()

    # How the attempt ended, and what the job is: a row each.
    assert statements(30) - statements(10) == 2 * 20


def test_the_rows_of_a_job_take_few_calls(tmp_path: Path) -> None:
    def called(n: int) -> int:
        scheduler = Scheduler()
        connection, _ = open_database(tmp_path / f"{n}.db")
        count = 0

        def note(frame: FrameType, kind: str, argument: Any) -> None:
            nonlocal count
            count += kind == "call"

        try:
            commit(connection, submitted(scheduler, {f"j{i}": job() for i in range(2 * n)}, n))
            commands = [c for key in range(1, n + 1) for c in ran(scheduler, key)]
            before = sys.getprofile()
            sys.setprofile(note)
            try:
                commit(connection, commands)
            finally:
                sys.setprofile(before)
            return count
        finally:
            connection.close()

    # What starts is added, what has ended is saved.
    assert (called(60) - called(20)) / 40 <= MOST_CALLS_OF_ROWS


def test_a_submit_takes_a_statement_for_each_job(tmp_path: Path) -> None:
    def statements(n: int) -> int:
        commands = submitted(Scheduler(), {f"j{i}": job() for i in range(n)}, parallel=1)
        connection, _ = open_database(tmp_path / f"{n}.db")
        try:
            return traced(connection, commands)
        finally:
            connection.close()

    assert statements(30) - statements(10) == 20


def traced(connection: sqlite3.Connection, commands: list[Any]) -> int:
    """How many statements the commit takes."""
    count = 0

    def note(statement: str) -> None:
        nonlocal count
        count += 1

    connection.set_trace_callback(note)
    commit(connection, commands)
    connection.set_trace_callback(None)
    return count


def commit(connection: sqlite3.Connection, commands: list[Any]) -> None:
    records = [c for c in commands if isinstance(c, Record)]
    happenings = [c for c in commands if isinstance(c, Happening)]
    writing.write(connection, records, happenings, {}, "boot", reading.meta(connection)[1])
