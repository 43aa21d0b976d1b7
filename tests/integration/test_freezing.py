"""`torcctl pause --stop` with real jobs, in cgroups and without."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import cgroup_place
from tests.daemon_process import Daemon
from tests.executor_world import PATIENCE_SECONDS
from tests.integration.test_workflows import Gate, over
from tests.standing_still import stands_still
from torcd.model import WorkflowStatus


@pytest.fixture(params=["by marker", "in cgroups"])
def divided(daemon: Daemon, request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """A daemon that makes cgroups, and one that does not."""
    with cgroup_place.place() as place:
        if place is None and request.param == "in cgroups":
            pytest.skip("this user has no cgroup2 to divide")
        daemon.stop()
        setting = place if request.param == "in cgroups" else "off"
        daemon.config.write_text(f'cgroups = "{setting}"\n')
        daemon.start()
        yield daemon
        daemon.check()
        daemon.close()  # before the place is taken down
        daemon.process = None


def frozen_job(daemon: Daemon, directory: Path, **fields: object) -> tuple[str, int, Gate]:
    """Workflow, pid and gate of a job that stands still."""
    gate = Gate(directory, "gate")
    job = {"name": "held", "command": f"echo $$ > pid; {gate.command}", **fields}
    key = daemon.submit(
        {
            "jobs": [job, {"name": "next", "command": "true", "depends_on": ["held"]}],
            "resource_requirements": [{"name": "short", "runtime": "PT3S"}],
        }
    )
    wait_until(lambda: (directory / "pid").exists() and (directory / "pid").read_text() != "")
    pid = int((directory / "pid").read_text())
    assert daemon.json("-k", key, "pause", "--stop")["frozen"] is True
    wait_until(lambda: stands_still(pid))
    return key, pid, gate


def wait_until(condition: object) -> None:
    """Of what no event tells."""
    assert callable(condition)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_runs_stands_still_until_it_is_resumed(divided: Daemon, tmp_path: Path) -> None:
    key, pid, gate = frozen_job(divided, tmp_path)
    assert "paused, frozen" in divided.torcctl("-k", key, "status").stdout
    assert "it is frozen" in divided.torcctl("-k", key, "explain", "held").stdout
    assert divided.json("-k", key, "resume")["frozen"] is False
    wait_until(lambda: not stands_still(pid))
    gate.open()
    assert over(divided, key).status is WorkflowStatus.COMPLETED


def test_it_stays_frozen_through_the_deaths_of_daemon_and_warden(
    divided: Daemon, tmp_path: Path
) -> None:
    key, pid, gate = frozen_job(divided, tmp_path)
    divided.kill()
    divided.start()
    assert divided.json("-k", key, "status")["frozen"] is True
    assert stands_still(pid)
    warden = divided.warden_pid()
    assert warden is not None
    os.kill(warden, signal.SIGKILL)
    wait_until(lambda: divided.warden_pid() not in (None, warden))
    assert stands_still(pid)
    divided.torcctl("-k", key, "resume")
    wait_until(lambda: not stands_still(pid))
    gate.open()
    assert over(divided, key).status is WorkflowStatus.COMPLETED


def test_a_frozen_job_can_be_canceled(divided: Daemon, tmp_path: Path) -> None:
    key, pid, _ = frozen_job(divided, tmp_path, supports_termination=True)
    assert divided.torcctl("-k", key, "cancel", "--wait").returncode == 0
    assert over(divided, key).status is WorkflowStatus.CANCELED
    assert not os.path.exists(f"/proc/{pid}/exe")


def test_its_runtime_limit_does_not_run_while_it_is_frozen(divided: Daemon, tmp_path: Path) -> None:
    key, pid, _ = frozen_job(divided, tmp_path, resource_requirements="short")
    waiting = divided.torcctl("-k", key, "wait", "--timeout", "3.1")  # longer than its limit
    assert waiting.returncode == 124
    assert stands_still(pid)
    assert divided.json("-k", key, "jobs")["items"][0]["status"] == "running"
    divided.torcctl("-k", key, "resume")
    assert over(divided, key).status is WorkflowStatus.FAILED
    assert divided.json("-k", key, "jobs")["items"][0]["status"] == "terminated"


def test_a_daemon_that_waits_for_jobs_does_not_wait_for_frozen_ones(
    divided: Daemon, tmp_path: Path
) -> None:
    key, pid, gate = frozen_job(divided, tmp_path)
    assert divided.torcctl("daemon", "stop", "--jobs", "wait").returncode == 0
    assert divided.process is not None
    divided.process.wait(PATIENCE_SECONDS)
    assert stands_still(pid)
    divided.start()
    divided.torcctl("-k", key, "resume")
    gate.open()
    assert over(divided, key).status is WorkflowStatus.COMPLETED


def test_the_daemon_says_whether_it_makes_cgroups(divided: Daemon) -> None:
    told = divided.json("daemon", "status")["cgroups"]
    setting = divided.config.read_text()
    assert (told is None) == ('"off"' in setting)
    assert told is None or told.startswith(setting.split('"')[1])
