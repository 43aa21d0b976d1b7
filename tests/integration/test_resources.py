"""Shares of the machine and runtime limits, through a real daemon and with real processes."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon_process import Daemon, processes_mentioning, running_daemon
from tests.integration.test_workflows import Gate, over
from torcd.model import Job, JobKey, Resources, Timestamp, Workflow, WorkflowKey
from torcd.model import WorkflowStatus as W
from torcd.protocol import manager as m
from torcd.scheduler.commands import CreateWorkflow
from torcd.store import Store

CONFIG = """
cpus = 2
memory = "1g"
gpus = 2
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with running_daemon(tmp_path, CONFIG) as running:
        yield running


def job(command: str, **asks: object) -> tuple[str, Resources | None]:
    return command, Resources(**asks) if asks else None  # type: ignore[arg-type]


def submit(
    daemon: Daemon, directory: Path, *workflows: dict[str, tuple[str, Resources | None]]
) -> list[str]:
    """Workflows of independent jobs; their keys. The daemon is started anew."""
    creations = []
    next_key = 1
    for jobs in workflows:
        key = next_key
        workflow = Workflow(
            key=WorkflowKey(key),
            name="w",
            jobs=tuple(
                Job(key=JobKey(key + 1 + n), name=name, command=command, resources=asks)
                for n, (name, (command, asks)) in enumerate(jobs.items())
            ),
            directory=str(directory),
        )
        next_key += workflow.size
        creations.append(
            CreateWorkflow(
                workflow=workflow,
                max_parallel_jobs=8,
                wait_for_inputs=False,
                next_key=next_key,
                at=Timestamp(1),
            )
        )

    async def write() -> None:
        async with Store.open(daemon.state_dir / "torcd.db") as store:
            environments = {one.workflow.key: daemon.environment for one in creations}
            await store.commit(creations, [], environments=environments, boot_id="b")

    daemon.stop()
    asyncio.run(write())
    daemon.start()
    return [str(one.workflow.key) for one in creations]


def statuses(daemon: Daemon, key: str) -> dict[str, str]:
    return {name: info.status.value for name, info in daemon.jobs(key).items()}


def test_two_workflows_share_the_cpus_and_a_restart_keeps_the_books(
    daemon: Daemon, tmp_path: Path
) -> None:
    gate = Gate(tmp_path, "gate")
    first, second = submit(
        daemon,
        tmp_path,
        {"a": job(gate.command, num_cpus=2)},
        {"b": job("touch ran", num_cpus=1), "free": job("true")},
    )
    wait_until(daemon, first, "a", "running")
    wait_until(daemon, second, "free", "completed")
    assert (statuses(daemon, first)["a"], statuses(daemon, second)["b"]) == ("running", "ready")
    explained = daemon.json("-k", second, "explain", "b")
    assert "it waits for 1 CPU; 0 CPUs are left over" in explained["summary"]
    daemon.kill()
    daemon.start()
    assert statuses(daemon, second)["b"] == "ready"
    assert not (tmp_path / "ran").exists()
    gate.open()
    assert over(daemon, first).status is W.COMPLETED
    assert over(daemon, second).status is W.COMPLETED
    assert (tmp_path / "ran").exists()


def test_jobs_are_told_what_they_were_granted(daemon: Daemon, tmp_path: Path) -> None:
    tell = "echo ${TORC_CPUS-none} ${TORC_MEMORY_BYTES-none} ${CUDA_VISIBLE_DEVICES-none}"
    [key] = submit(
        daemon,
        tmp_path,
        {
            "all": job(f"{tell} > all", num_cpus=9, memory_bytes=1 << 40, num_gpus=9),
            "some": job(f"{tell} > some", memory_bytes=1000, num_gpus=1),
            "cpu": job(f"{tell} > cpu", num_cpus=1),
            "nothing": job(f"{tell} > nothing"),
        },
    )
    assert over(daemon, key).status is W.COMPLETED
    told = {name: (tmp_path / name).read_text() for name in ("all", "some", "cpu", "nothing")}
    assert told == {
        "all": f"2 {1 << 30} 0,1\n",
        "some": "1 1000 0\n",
        "cpu": "1 none none\n",
        "nothing": "none none none\n",
    }


def test_two_jobs_at_once_have_different_gpus_also_after_a_restart(
    daemon: Daemon, tmp_path: Path
) -> None:
    first, second = Gate(tmp_path, "first"), Gate(tmp_path, "second")
    [key] = submit(
        daemon,
        tmp_path,
        {
            "a": job(f"echo $CUDA_VISIBLE_DEVICES >> gpus; {first.command}", num_gpus=1),
            "b": job(f"{second.command}; echo $CUDA_VISIBLE_DEVICES >> gpus", num_gpus=1),
        },
    )
    wait_until(daemon, key, "a", "running")
    wait_until(daemon, key, "b", "running")
    daemon.kill()
    daemon.start()
    first.open()
    second.open()
    assert over(daemon, key).status is W.COMPLETED
    assert sorted((tmp_path / "gpus").read_text().split()) == ["0", "1"]


def test_a_job_at_its_runtime_limit_is_killed_with_all_its_processes(
    daemon: Daemon, tmp_path: Path
) -> None:
    mark = str(tmp_path / "mark")
    [key] = submit(
        daemon,
        tmp_path,
        {
            "tree": job(
                f"export MARK={mark}; setsid sleep 1000 & (sleep 1000 &); sleep 1000",
                runtime_seconds=0.3,
            ),
            "free": job("true"),
        },
    )
    assert over(daemon, key).status is W.FAILED
    found = daemon.jobs(key)
    assert (found["tree"].status.value, found["free"].status.value) == ("terminated", "completed")
    assert found["tree"].reason is not None
    assert found["tree"].reason.value == "timeout"
    assert found["tree"].message == "stopped at its runtime limit of 0.3 s"
    assert found["tree"].return_code == -9
    assert processes_mentioning(mark) == []


def test_a_limit_goes_on_while_the_daemon_is_away(daemon: Daemon, tmp_path: Path) -> None:
    [key] = submit(daemon, tmp_path, {"a": job("sleep 1000", runtime_seconds=1.0)})
    wait_until(daemon, key, "a", "running")
    daemon.kill()
    daemon.start()
    assert over(daemon, key).status is W.FAILED
    assert daemon.jobs(key)["a"].status.value == "terminated"


def wait_until(daemon: Daemon, key: str, name: str, status: str) -> None:
    with daemon.client() as client:
        for _ in client.stream(m.FollowWorkflow(workflow_key=key)):
            if statuses(daemon, key)[name] == status:
                return
    raise AssertionError(f"{name} never was {status}")
