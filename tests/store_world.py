"""Short ways to say what is to be stored, for tests of the store."""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torcd import value
from torcd.model import (
    Addition,
    AttemptKey,
    DataKey,
    File,
    FileKey,
    Happening,
    Job,
    JobKey,
    JobStatus,
    Reason,
    SpecChange,
    Timestamp,
    UserData,
    Workflow,
    WorkflowKey,
    WorkflowStatus,
)
from torcd.scheduler.commands import (
    AddAttempt,
    CreateWorkflow,
    EditWorkflow,
    Record,
    SaveAttempt,
    SaveJob,
    SaveValue,
    SaveWorkflow,
)
from torcd.store import Store

BOOT = "2c1f3f4e-54a1-4d1c-a1ee-6f0a2b7b8e55"


def create(key: int = 1, *, n_jobs: int = 2, n_data: int = 1, **fields: Any) -> CreateWorkflow:
    """Workflow `key`: jobs j1, j2, … with the keys after it, then the file f, then d1, d2, …"""
    first_data = key + n_jobs + 2
    workflow = Workflow(
        **{
            "key": WorkflowKey(key),
            "name": f"w{key}",
            "jobs": tuple(
                Job(key=JobKey(key + n), name=f"j{n}", command=f"echo {n}")
                for n in range(1, n_jobs + 1)
            ),
            "files": (File(key=FileKey(key + n_jobs + 1), name="f", path="/data/f"),),
            "user_data": tuple(
                UserData(key=DataKey(first_data + n), name=f"d{n + 1}") for n in range(n_data)
            ),
            **fields,
        }
    )
    return CreateWorkflow(
        workflow=workflow,
        max_parallel_jobs=4,
        wait_for_inputs=False,
        next_key=key + workflow.size,
        at=Timestamp(1000),
    )


def change_spec(creation: CreateWorkflow, change: SpecChange) -> EditWorkflow:
    """An edit of nothing but what is kept of its spec."""
    return EditWorkflow(
        workflow=creation.workflow,
        jobs=(),
        files=(),
        user_data=(),
        removed_jobs=(),
        removed_files=(),
        removed_user_data=(),
        next_key=creation.next_key,
        at=Timestamp(2000),
        spec=change,
    )


def added(name: str, item: bytes = b"{}", *, by: int = 2, run_id: int = 1) -> Addition:
    return Addition(
        adder=JobKey(by), run_id=run_id, attempt_id=1, section="jobs", name=name, item=item
    )


def data_key(creation: CreateWorkflow, n: int = 1) -> DataKey:
    return creation.workflow.user_data[n - 1].key


def save_workflow(key: int, status: WorkflowStatus, **fields: Any) -> SaveWorkflow:
    is_over = status not in (WorkflowStatus.RUNNING, WorkflowStatus.PAUSED)
    return SaveWorkflow(
        **{
            "workflow_key": WorkflowKey(key),
            "status": status,
            "stopping": False,
            "run_id": 1,
            "started_at": Timestamp(1000),
            "ended_at": Timestamp(9000) if is_over else None,
            "at": Timestamp(9000),
            **fields,
        }
    )


def save_job(key: int, status: JobStatus, *, workflow_key: int = 1, **fields: Any) -> SaveJob:
    return SaveJob(
        **{
            "workflow_key": WorkflowKey(workflow_key),
            "job_key": JobKey(key),
            "status": status,
            "stopping": False,
            "reason": None,
            "message": None,
            "return_code": None,
            "run_id": 1,
            "attempt_id": 0,
            "started_at": None,
            "ended_at": None,
            "at": Timestamp(5000),
            **fields,
        }
    )


def add_attempt(
    key: int,
    job_key: int,
    *,
    workflow_key: int = 1,
    run_id: int = 1,
    attempt_id: int = 1,
    gpus: tuple[int, ...] = (),
) -> AddAttempt:
    return AddAttempt(
        attempt_key=AttemptKey(key),
        workflow_key=WorkflowKey(workflow_key),
        job_key=JobKey(job_key),
        run_id=run_id,
        attempt_id=attempt_id,
        gpus=gpus,
    )


def save_attempt(key: int, status: JobStatus = JobStatus.COMPLETED, **fields: Any) -> SaveAttempt:
    return SaveAttempt(
        **{
            "attempt_key": AttemptKey(key),
            "status": status,
            "reason": None if status is JobStatus.COMPLETED else Reason.EXIT,
            "message": None if status is JobStatus.COMPLETED else "exited with status 1",
            "return_code": 0 if status is JobStatus.COMPLETED else 1,
            "started_at": Timestamp(2000),
            "ended_at": Timestamp(3000),
            "cpu_seconds": 0.25,
            "peak_memory_bytes": 4096,
            **fields,
        }
    )


def save_value(
    key: int, revision: int, text: bytes, *, attempt_key: int | None = None, **fields: Any
) -> SaveValue:
    return SaveValue(
        **{
            "workflow_key": WorkflowKey(1),
            "data_key": DataKey(key),
            "revision": revision,
            "value": value.parse(text, name="a value"),
            "run_id": 1,
            "attempt_key": None if attempt_key is None else AttemptKey(attempt_key),
            "at": Timestamp(4000 + revision),
            **fields,
        }
    )


def happening(number: int, workflow_key: int = 1, **fields: Any) -> Happening:
    return Happening(
        **{
            "number": number,
            "at": Timestamp(number),
            "kind": "job_changed",
            "workflow_key": WorkflowKey(workflow_key),
            **fields,
        }
    )


async def commit(
    store: Store,
    *records: Record,
    happenings: Sequence[Happening] = (),
    environments: Mapping[WorkflowKey, Mapping[str, str]] | None = None,
    boot_id: str = BOOT,
) -> None:
    await store.commit(records, happenings, environments=environments or {}, boot_id=boot_id)


@contextlib.contextmanager
def looking_at(path: Path) -> Iterator[sqlite3.Connection]:
    """The database as any program sees it, in a transaction of its own for each statement."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    try:
        yield connection
    finally:
        connection.close()


def dump(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables; without the secret, and the boots, which no batch takes back."""
    with looking_at(path) as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        found = {
            name: connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall()
            for (name,) in tables.fetchall()
        }
        found["meta"] = connection.execute(
            "SELECT next_key, next_attempt_key, next_event_number FROM meta"
        ).fetchall()
        del found["boot"]
        return found
