"""What a job costs the daemon beside its decisions, counted in calls and statements: no clock."""

import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from tests.unit.scheduler.specs import job, workflow
from torcd.controller.launching import Launcher
from torcd.controller.layout import Layout
from torcd.model import AttemptKey
from torcd.scheduler import Scheduler
from torcd.scheduler import events as e
from torcd.scheduler.commands import Record, StartAttempt, StartCommand
from torcd.store import writing
from torcd.store.schema import open_database

FILES = {"stat", "lstat", "mkdir", "open", "unlink", "listdir", "scandir", "access"}
JOBS = 40


def submitted(scheduler: Scheduler) -> list[Any]:
    return scheduler.handle(
        e.SubmitRequested(
            workflow=workflow({f"j{i}": job() for i in range(JOBS)}),
            max_parallel_jobs=JOBS,
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


def test_more_jobs_in_a_commit_take_no_more_statements_but_one_for_each_row(
    tmp_path: Path,
) -> None:
    def statements(n: int) -> int:
        scheduler = Scheduler()
        connection, _ = open_database(tmp_path / f"{n}.db")
        try:
            commit(connection, submitted(scheduler))
            commands = [c for key in range(1, n + 1) for c in scheduler.handle(ended(key))]
            count = 0

            def note(statement: str) -> None:
                nonlocal count
                count += 1

            connection.set_trace_callback(note)
            commit(connection, commands)
            connection.set_trace_callback(None)
            return count
        finally:
            connection.close()

    # How the attempt ended, and what the job is: a row each.
    assert statements(30) - statements(10) == 2 * 20


def commit(connection: sqlite3.Connection, commands: list[Any]) -> None:
    records = [c for c in commands if isinstance(c, Record)]
    writing.write(connection, records, [], {}, "boot")
