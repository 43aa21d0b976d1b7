"""A disk that is really full: nothing is lost, nothing runs twice, and it goes on by itself."""

import os
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon_process import START_SECONDS, Daemon, processes_mentioning
from tests.full_disk import SmallDisk, private_mounts
from torcd.client import Client
from torcd.errors import NoSpace
from torcd.model import JobStatus, Reason
from torcd.protocol import manager as m

DISK_BYTES = 24 << 20

Mount = Callable[..., SmallDisk]


@pytest.fixture
def mount() -> Iterator[Mount]:
    with private_mounts() as mount:
        yield mount


@pytest.fixture
def stopped(tmp_path: Path, mount: Mount) -> Iterator[Daemon]:
    """A daemon that does not run yet, so that its disks can be made."""
    daemon = Daemon(tmp_path)
    try:
        yield daemon
        daemon.check()
    finally:
        daemon.close()


class Gate:
    """What a job waits at until the test opens it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)

    @property
    def wait(self) -> str:
        """The command."""
        return f"read x < {self.path}"

    def open(self) -> None:
        self.path.write_text("go\n")


def fill(disk: SmallDisk, client: Client, key: str) -> int:
    """Until the daemon has seen that the disk is full. How many stores were acknowledged before:
    what there was of the log's last page may have taken some."""
    disk.fill()
    for number in range(1_000):
        try:
            client.store("v", [number, "x" * 3000], workflow_key=key)
        except NoSpace as error:
            refusal = error
            break
    else:
        raise AssertionError("the disk does not get full")
    assert refusal.facts["mount_point"] == str(disk.path)
    assert str(disk.path) in refusal.message
    return number


def until(client: Client, key: str, condition: Callable[[m.WorkflowInfo], bool]) -> None:
    """Follow the workflow; where it stands still, nothing comes of it, and the time runs out."""
    for reply in client.stream(m.FollowWorkflow(workflow_key=key)):
        if condition(reply.workflow):
            return


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("kind", ["tmpfs", "btrfs"])
def test_a_full_disk_of_the_database(
    stopped: Daemon, mount: Mount, tmp_path: Path, kind: str
) -> None:
    daemon = stopped
    image = tmp_path / "image" if kind == "btrfs" else None
    disk = mount(daemon.state_dir, DISK_BYTES, btrfs=image)
    daemon.start()
    bad, good = Gate(tmp_path / "bad"), Gate(tmp_path / "good")
    ran = tmp_path / "ran"
    spec = {
        "jobs": [
            {"name": "bad", "command": f"echo bad >> {ran}; {bad.wait}; exit 3"},
            {
                "name": "good",
                "command": f"echo good >> {ran}; {good.wait}",
            },
            {
                "name": "after",
                "command": f"echo after >> {ran}",
                "depends_on": ["bad", "good"],
                "cancel_on_blocking_job_failure": False,
            },
        ],
        "user_data": [{"name": "v"}],
    }
    key = daemon.submit(spec)
    with daemon.client() as client, daemon.client() as waiting:
        until(client, key, lambda info: info.jobs["running"] == 2)
        stored = fill(disk, client, key)
        started = {name: job.started_at for name, job in daemon.jobs(key).items()}

        # Whoever wants to change something is refused, whoever looks is answered.
        for request in (
            m.Submit(workflow=b'{"jobs": [{"command": "true"}]}', directory="/"),
            m.Resume(workflow_key=key),
            m.Disable(workflow_key=key, jobs=["after"]),
        ):
            with pytest.raises(NoSpace):
                client.call(request)
        done = daemon.torcctl("-k", key, "data", "put", "v", "1")
        assert done.returncode == 1
        assert done.stderr.startswith("torcctl: the disk is full: the database ")
        assert len(client.history("v", workflow_key=key)) == stored
        assert {j.name for j in daemon.jobs(key).values() if j.status is JobStatus.RUNNING} == {
            "bad",
            "good",
        }
        assert str(disk.path) in (client.call(m.GetStatus()).held_up or "")
        assert str(disk.path) in daemon.torcctl("-k", key, "status").stdout

        # Running jobs end. That is true, and is not yet written down.
        bad.open()
        good.open()
        follow = waiting.stream(m.FollowWorkflow(workflow_key=key))
        assert next(iter(follow)).workflow.status.value == "running"
        assert lines(ran).count("after") == 0

        disk.make_room()
        ends = [reply.workflow for reply in follow]
        assert ends[-1].ended_at is not None
        jobs = daemon.jobs(key)
        assert (jobs["bad"].return_code, jobs["bad"].status) == (3, JobStatus.FAILED)
        assert (jobs["good"].return_code, jobs["good"].status) == (0, JobStatus.COMPLETED)
        assert jobs["after"].status is JobStatus.COMPLETED
        assert {name: jobs[name].started_at for name in ("bad", "good")} == {
            name: started[name] for name in ("bad", "good")
        }
        assert sorted(lines(ran)) == ["after", "bad", "good"]
        history = client.history("v", workflow_key=key)
        assert [record.revision for record in history] == list(range(1, stored + 1))
        client.store("v", "again", workflow_key=key)
        assert client.call(m.GetStatus()).held_up is None
    log = daemon.log.read_text()
    assert log.count("no room: standing still") == log.count("there is room again: going on")


def is_stopped(job: m.JobInfo) -> bool:
    return job.stopping or job.status is JobStatus.TERMINATED


def writing(daemon: Daemon, job: str) -> set[int]:
    """The processes of a job that live."""
    ours = set(processes_mentioning(str(daemon.state_dir)))
    return ours.intersection(processes_mentioning(f"TORC_JOB_NAME={job}"))


def test_jobs_that_fill_the_disk_are_stopped_while_it_is_full(
    stopped: Daemon, mount: Mount, tmp_path: Path
) -> None:
    """By their limit, by a cancel and by a freeze: a job that takes every byte that it can get
    leaves room for that all the same."""
    daemon = stopped
    disk = mount(daemon.state_dir, DISK_BYTES)
    daemon.start()
    ran = tmp_path / "ran"
    gates = {name: Gate(tmp_path / name) for name in ("limited", "canceled", "frozen")}

    def greedy(name: str) -> str:
        # One process, which writes until it is killed.
        return (
            f"echo {name} $$ >> {ran}; {gates[name].wait}; "
            f"while :; do printf %0100000d 0; done >> {disk.path}/{name} 2> /dev/null"
        )

    spec = {
        "jobs": [
            {"name": "limited", "command": greedy("limited"), "resource_requirements": "short"},
            {"name": "canceled", "command": greedy("canceled")},
            {"name": "later", "command": f"echo later >> {ran}", "depends_on": ["limited"]},
        ],
        "resource_requirements": [{"name": "short", "runtime": "PT2S"}],
        "user_data": [{"name": "v"}],
    }
    key = daemon.submit(spec)
    other = daemon.submit({"jobs": [{"name": "frozen", "command": greedy("frozen")}]})
    with daemon.client() as client, daemon.client() as waiting:
        until(client, key, lambda info: info.jobs["running"] == 2)
        until(client, other, lambda info: info.jobs["running"] == 1)
        for gate in gates.values():
            gate.open()
        pids = dict(line.split() for line in lines(ran))
        leaders = [os.pidfd_open(int(pids[name])) for name in ("limited", "canceled")]
        fill(disk, client, key)
        client.call(m.Pause(workflow_key=other, stop=True))
        # On a machine that is very busy its limit may have come before the disk was full.
        until(client, key, lambda info: is_stopped(daemon.jobs(key)["limited"]))
        client.call(m.Cancel(workflow_key=key, jobs=["canceled"]))
        assert daemon.jobs(key)["canceled"].stopping is True
        assert client.call(m.GetStatus()).held_up is not None
        with pytest.raises(NoSpace):
            client.store("v", "x" * 3000, workflow_key=key)

        # Who was told to end may live for a moment yet, and begin his file anew.
        while writing(daemon, "limited") or writing(daemon, "canceled"):
            pass
        # Nobody takes from the disk any more: what is removed stays free.
        follow = waiting.stream(m.FollowWorkflow(workflow_key=key))
        for pidfd in leaders:
            assert select.select([pidfd], [], [], START_SECONDS)[0]
            os.close(pidfd)
        for name in gates:
            os.truncate(disk.path / name, 0)
        disk.make_room()
        assert [reply.workflow for reply in follow][-1].ended_at is not None
        client.call(m.Cancel(workflow_key=other))
        until(client, other, lambda info: info.ended_at is not None)
    jobs = daemon.jobs(key)
    assert (jobs["limited"].status, jobs["limited"].reason) == (
        JobStatus.TERMINATED,
        Reason.TIMEOUT,
    )
    assert jobs["canceled"].status is JobStatus.CANCELED
    assert jobs["later"].status is JobStatus.CANCELED
    assert sorted(line.split()[0] for line in lines(ran)) == ["canceled", "frozen", "limited"]


def test_what_a_job_cannot_write_is_its_own_affair(
    stopped: Daemon, mount: Mount, tmp_path: Path
) -> None:
    daemon = stopped
    disk = mount(daemon.state_dir, DISK_BYTES)
    daemon.start()
    gate = Gate(tmp_path / "gate")
    output = {
        "name": "output",
        "command": f"echo $$ > {tmp_path}/pid; {gate.wait}; echo w=7 > $TORC_OUTPUT",
    }
    spec = {
        "jobs": [{**output, "stdio": "none", "output_user_data": ["w"]}],
        "user_data": [{"name": "v"}, {"name": "w"}],
    }
    key = daemon.submit(spec)
    with daemon.client() as client:
        until(client, key, lambda info: info.jobs["running"] == 1)
        fill(disk, client, key)
        follow = client.stream(m.FollowWorkflow(workflow_key=key))
        next(iter(follow))
        job = os.pidfd_open(int((tmp_path / "pid").read_text()))
        gate.open()
        assert select.select([job], [], [], START_SECONDS)[0]
        os.close(job)
        disk.make_room()
        assert list(follow)[-1].workflow.status.value == "failed"
    job = daemon.jobs(key)["output"]
    assert (job.return_code, job.reason) == (1, Reason.EXIT)


def test_daemon_and_warden_may_be_killed_while_the_disk_is_full(
    stopped: Daemon, mount: Mount, tmp_path: Path
) -> None:
    daemon = stopped
    disk = mount(daemon.state_dir, DISK_BYTES)
    daemon.start()
    early, late = Gate(tmp_path / "early"), Gate(tmp_path / "late")
    ran = tmp_path / "ran"
    spec = {
        "jobs": [
            {"name": "early", "command": f"echo early >> {ran}; {early.wait}; exit 4"},
            {"name": "late", "command": f"echo late >> {ran}; {late.wait}; exit 5"},
        ],
        "user_data": [{"name": "v"}],
    }
    key = daemon.submit(spec)
    with daemon.client() as client:
        until(client, key, lambda info: info.jobs["running"] == 2)
        stored = fill(disk, client, key)
        warden = client.call(m.GetStatus()).warden_pid
        assert warden is not None
        os.kill(warden, signal.SIGKILL)
        while client.call(m.GetStatus()).held_up is None:
            pass
        early.open()
    assert daemon.torcctl("-k", key, "jobs").returncode == 0
    disk.make_room()
    with daemon.client() as client:
        until(client, key, lambda info: info.jobs["failed"] == 1)
        fill(disk, client, key)
    daemon.kill()
    late.open()
    daemon.start()  # in the room that was kept
    with daemon.client() as client:
        assert str(disk.path) in (client.call(m.GetStatus()).held_up or "")
        disk.make_room()
        until(client, key, lambda info: info.ended_at is not None)
        jobs = daemon.jobs(key)
        assert {name: job.return_code for name, job in jobs.items()} == {"early": 4, "late": 5}
        assert len(client.history("v", workflow_key=key)) >= stored
    assert sorted(lines(ran)) == ["early", "late"]


@pytest.mark.parametrize("which", ["attempts", "logs"])
@pytest.mark.parametrize("how", ["bytes", "inodes"])
def test_a_full_disk_of_attempts_or_logs_holds_jobs_back(
    stopped: Daemon, mount: Mount, which: str, how: str
) -> None:
    daemon = stopped
    disk = mount(daemon.state_dir / which, 8 << 20)
    daemon.start()
    full = disk.fill if how == "bytes" else disk.use_up_inodes
    full()
    spec = {
        "jobs": [
            {
                "name": f"j{n}",
                "command": "test -s $TORC_INPUTS && echo $TORC_JOB_NAME",
                "input_user_data": ["v"],
            }
            for n in range(3)
        ],
        "user_data": [{"name": "v", "data": "x" * 10_000}],
    }
    key = daemon.submit(spec)
    with daemon.client() as client:
        if (which, how) != ("logs", "bytes"):
            while client.call(m.GetStatus()).held_up is None:
                pass
            assert str(disk.path) in daemon.torcctl("-k", key, "explain", "j0").stdout
            assert client.status(key).jobs["failed"] == 0
        disk.make_room()
        until(client, key, lambda info: info.ended_at is not None)
    statuses = {job.name: job.status for job in daemon.jobs(key).values()}
    if (which, how) != ("logs", "bytes"):
        assert set(statuses.values()) == {JobStatus.COMPLETED}
        assert daemon.torcctl("-k", key, "logs", "j2").stdout == "j2\n"


def test_a_daemon_stops_on_a_full_disk_and_the_next_says_why_it_cannot_start(
    stopped: Daemon, mount: Mount
) -> None:
    daemon = stopped
    disk = mount(daemon.state_dir, DISK_BYTES)
    daemon.start()
    key = daemon.submit({"jobs": [{"name": "j", "command": "true"}], "user_data": [{"name": "v"}]})
    with daemon.client() as client:
        until(client, key, lambda info: info.ended_at is not None)
        stored = fill(disk, client, key)
    assert daemon.stop() == 0
    disk.fill()  # what was given back when it stopped
    before = (daemon.state_dir / "torcd.db").read_bytes()
    done = daemon.torcctl("daemon", "start")
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert str(disk.path) in done.stderr
    assert "Traceback" not in done.stderr
    assert (daemon.state_dir / "torcd.db").read_bytes() == before
    disk.make_room()
    daemon.start()
    assert daemon.jobs(key)["j"].status is JobStatus.COMPLETED
    with daemon.client() as client:
        assert len(client.history("v", workflow_key=key)) == stored
