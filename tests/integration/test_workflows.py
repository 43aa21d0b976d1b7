"""Workflows through a real daemon: what becomes of jobs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.daemon_process import Daemon, running_daemon
from torcd import errors
from torcd.model import JobStatus, Reason, WorkflowStatus
from torcd.protocol import manager as m


def over(daemon: Daemon, key: str) -> m.WorkflowInfo:
    """The workflow when it is over."""
    with daemon.client() as client:
        return client.wait(key, timeout=30)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


class Gate:
    """A place at which a job waits for the test: it reads a pipe until the test lets go."""

    def __init__(self, directory: Path, name: str) -> None:
        self.path = directory / name
        os.mkfifo(self.path)
        self.command = f"cat {self.path}"

    def open(self) -> None:
        """Let the job go on; returns when it has come here."""
        self.path.write_text("")


def test_jobs_run_in_the_order_of_their_dependencies(daemon: Daemon, tmp_path: Path) -> None:
    done = daemon.run(
        {
            "jobs": [
                {"name": "last", "command": "echo last >> order", "depends_on": ["middle"]},
                {"name": "middle", "command": "echo middle >> order", "depends_on": ["first"]},
                {"name": "first", "command": "echo first >> order"},
            ]
        }
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "order").read_text() == "first\nmiddle\nlast\n"


def test_a_failed_job_cancels_what_depends_on_it_and_nothing_else(daemon: Daemon) -> None:
    key = daemon.submit(
        {
            "jobs": [
                {"name": "bad", "command": "exit 3"},
                {"name": "child", "command": "true", "depends_on": ["bad"]},
                {"name": "grandchild", "command": "true", "depends_on": ["child"]},
                {"name": "stubborn", "command": "true", "depends_on": ["bad"]}
                | {"cancel_on_blocking_job_failure": False},
                {"name": "stranger", "command": "true"},
            ]
        }
    )
    assert over(daemon, key).status is WorkflowStatus.FAILED
    jobs = daemon.jobs(key)
    assert (jobs["bad"].status, jobs["bad"].return_code) == (JobStatus.FAILED, 3)
    assert jobs["bad"].reason is Reason.EXIT
    assert jobs["child"].status is jobs["grandchild"].status is JobStatus.CANCELED
    assert jobs["child"].reason is Reason.DEPENDENCY
    assert '"bad" failed' in (jobs["child"].message or "")
    assert jobs["stubborn"].status is jobs["stranger"].status is JobStatus.COMPLETED


def test_a_program_that_does_not_exist_fails_its_job_with_a_reason(daemon: Daemon) -> None:
    key = daemon.submit({"jobs": [{"command": ["no-such-program"]}, {"command": "no-such-one"}]})
    over(daemon, key)
    direct, shell = daemon.jobs(key).values()
    assert (direct.status, direct.reason) == (JobStatus.FAILED, Reason.START_FAILED)
    assert "no-such-program" in (direct.message or "")
    assert (shell.reason, shell.return_code) == (Reason.EXIT, 127)


def test_a_missing_working_directory_is_named(daemon: Daemon) -> None:
    key = daemon.submit({"jobs": [{"command": "true", "cwd": "nowhere"}]})
    over(daemon, key)
    (job,) = daemon.jobs(key).values()
    assert job.reason is Reason.START_FAILED
    assert "nowhere" in (job.message or "")


def test_a_signal_is_a_negative_return_code(daemon: Daemon) -> None:
    key = daemon.submit({"jobs": [{"command": "kill -SEGV $$"}]})
    over(daemon, key)
    (job,) = daemon.jobs(key).values()
    assert (job.return_code, job.reason) == (-11, Reason.SIGNAL)
    assert "SIGSEGV" in (job.message or "")


def test_a_declared_file_that_was_not_made_fails_the_job(daemon: Daemon) -> None:
    key = daemon.submit(
        {
            "files": [{"name": "out", "path": "out.txt"}],
            "jobs": [
                {"name": "lazy", "command": "true", "output_files": ["out"]},
                {"name": "reader", "command": "cat out.txt", "input_files": ["out"]},
            ],
        }
    )
    over(daemon, key)
    jobs = daemon.jobs(key)
    assert jobs["lazy"].reason is Reason.MISSING_OUTPUT
    assert jobs["lazy"].return_code == 0
    assert "out.txt" in (jobs["lazy"].message or "")
    assert jobs["reader"].status is JobStatus.CANCELED


def test_no_more_jobs_run_at_once_than_was_asked_for(daemon: Daemon, tmp_path: Path) -> None:
    gates = [Gate(tmp_path, f"gate{number}") for number in range(5)]
    key = daemon.submit({"jobs": [{"command": gate.command} for gate in gates]}, "-j", "2")
    with daemon.client() as client:
        following = client.stream(m.FollowWorkflow(workflow_key=key))
        most = 0
        for gate in gates:
            gate.open()
        for reply in following:
            most = max(most, reply.workflow.jobs["running"])
    assert most <= 2
    assert over(daemon, key).status is WorkflowStatus.COMPLETED


def test_without_a_limit_as_many_run_as_there_are_cpus(daemon: Daemon) -> None:
    key = daemon.submit({"jobs": [{"command": "true"}]})
    assert over(daemon, key).max_parallel_jobs == len(os.sched_getaffinity(0))


def test_higher_priority_goes_first(daemon: Daemon, tmp_path: Path) -> None:
    gate = Gate(tmp_path, "gate")
    key = daemon.submit(
        {
            "jobs": [
                {"name": "holds", "command": gate.command, "priority": 9},
                *(
                    {"name": f"p{p}", "command": f"echo {p} >> order", "priority": p}
                    for p in (1, 3, 2)
                ),
            ]
        },
        "-j",
        "1",
    )
    gate.open()
    over(daemon, key)
    assert (tmp_path / "order").read_text().split() == ["3", "2", "1"]


def test_cancel_ends_the_whole_process_tree(daemon: Daemon, tmp_path: Path) -> None:
    gate = Gate(tmp_path, "gate")
    command = f"""
        trap '' TERM
        sleep 1000 & echo $! >> pids
        setsid sleep 1001 & echo $! >> pids
        (setsid env -i /bin/sleep 1002 & echo $! >> pids)
        cat {gate.path}
        sleep 1003
    """
    key = daemon.submit({"jobs": [{"name": "hostile", "command": command}]})
    gate.open()
    pids = [int(text) for text in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 3
    done = daemon.torcctl("-k", key, "cancel", "--wait")
    assert done.returncode == 0, done.stderr
    assert [pid for pid in pids if _is_alive(pid)] == []
    job = daemon.jobs(key)["hostile"]
    assert (job.status, job.reason, job.return_code) == (JobStatus.CANCELED, Reason.CANCELED, -9)
    assert over(daemon, key).status is WorkflowStatus.CANCELED


def test_a_job_that_supports_termination_may_clean_up(daemon: Daemon, tmp_path: Path) -> None:
    gate = Gate(tmp_path, "gate")
    command = f"trap 'echo cleaned > cleaned; exit 0' TERM; cat {gate.path}; sleep 1000 & wait"
    key = daemon.submit({"jobs": [{"command": command, "supports_termination": True}]})
    gate.open()
    assert daemon.torcctl("-k", key, "cancel", "--wait").returncode == 0
    assert (tmp_path / "cleaned").read_text() == "cleaned\n"
    (job,) = daemon.jobs(key).values()
    assert (job.status, job.return_code) == (JobStatus.CANCELED, 0)


def test_processes_left_behind_end_with_their_job(daemon: Daemon, tmp_path: Path) -> None:
    key = daemon.submit({"jobs": [{"command": "setsid sleep 1000 & echo $! > pid"}]})
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert not _is_alive(int((tmp_path / "pid").read_text()))


def test_files_that_jobs_make_have_the_modes_of_the_user(
    tmp_path: Path,
) -> None:
    with umask(0o022), running_daemon(tmp_path) as daemon:
        key = daemon.submit({"jobs": [{"command": "touch made"}]})
        over(daemon, key)
        assert (tmp_path / "made").stat().st_mode & 0o777 == 0o644
        private = [daemon.state_dir, *daemon.state_dir.rglob("*"), daemon.socket]
        open_to_others = [path for path in private if path.stat().st_mode & 0o077]
        assert open_to_others == []


def test_stdio_goes_where_the_spec_says(daemon: Daemon) -> None:
    command = "echo out; echo err >&2"
    key = daemon.submit(
        {
            "jobs": [
                {"name": stdio, "command": command, "stdio": stdio}
                for stdio in ("separate", "combined", "none")
            ]
        }
    )
    over(daemon, key)
    with daemon.client() as client:
        results = {r.job_name: r for r in client.call(m.ListResults(workflow_key=key)).items}
    separate, combined, none = (results[name] for name in ("separate", "combined", "none"))
    assert separate.stdout is not None
    assert separate.stderr is not None
    assert Path(separate.stdout).read_text() == "out\n"
    assert Path(separate.stderr).read_text() == "err\n"
    assert combined.stdout == combined.stderr is not None
    assert Path(combined.stdout).read_text() == "out\nerr\n"
    assert none.stdout is none.stderr is None


def test_a_job_gets_its_environment_and_nothing_of_an_outer_job(daemon: Daemon) -> None:
    daemon.environment |= {"FROM_SHELL": "inherited", "TORC_TOKEN": "outer"}
    key = daemon.submit(
        {
            "env": {"A": "workflow", "B": "workflow"},
            "jobs": [{"name": "prints", "command": "env", "env": {"B": "job"}}],
        }
    )
    over(daemon, key)
    lines = daemon.torcctl("-k", key, "logs", "prints").stdout.splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    assert (found["FROM_SHELL"], found["A"], found["B"]) == ("inherited", "workflow", "job")
    assert found["TORC_WORKFLOW_KEY"] == found["TORC_WORKFLOW_ID"] == key
    assert found["TORC_JOB_NAME"] == "prints"
    assert found["TORC_JOB_KEY"] == found["TORC_JOB_ID"] == daemon.jobs(key)["prints"].key
    assert (found["TORC_RUN_ID"], found["TORC_ATTEMPT_ID"]) == ("1", "1")
    assert found["TORC_SOCKET"] == str(daemon.socket)
    assert found["TORC_TOKEN"] not in ("", "outer")
    assert "TORC_INPUTS" not in found


def test_an_input_that_nobody_makes_is_refused_by_name(daemon: Daemon) -> None:
    spec = {
        "files": [{"name": "raw", "path": "raw.csv"}],
        "jobs": [{"name": "reads", "command": "cat raw.csv", "input_files": ["raw"]}],
    }
    with daemon.client() as client, pytest.raises(errors.MissingInputs, match=r"raw\.csv.*reads"):
        client.submit(spec, directory=str(daemon.directory))
    assert daemon.json("ls") == {"items": []}


def test_an_input_can_be_waited_for(daemon: Daemon, tmp_path: Path) -> None:
    spec = {
        "files": [{"name": "raw", "path": "not/yet/raw.csv"}],
        "jobs": [{"name": "reads", "command": "cat not/yet/raw.csv", "input_files": ["raw"]}],
    }
    key = daemon.submit(spec, "--wait-for-inputs")
    assert daemon.jobs(key)["reads"].status is JobStatus.BLOCKED
    explained = daemon.torcctl("-k", key, "explain", "reads").stdout
    assert "raw.csv" in explained
    (tmp_path / "not").mkdir()
    (tmp_path / "not" / "yet").mkdir()
    (tmp_path / "not" / "yet" / "raw.csv").write_text("1,2\n")
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert daemon.torcctl("-k", key, "logs", "reads").stdout == "1,2\n"


def test_pause_starts_nothing_more_and_resume_goes_on(daemon: Daemon, tmp_path: Path) -> None:
    gate = Gate(tmp_path, "gate")
    key = daemon.submit(
        {
            "jobs": [
                {"name": "first", "command": gate.command},
                {"name": "second", "command": "true", "depends_on": ["first"]},
            ]
        }
    )
    assert daemon.torcctl("-k", key, "pause").returncode == 0
    with daemon.client() as client:
        following = client.stream(m.FollowWorkflow(workflow_key=key))
        gate.open()
        for reply in following:
            if reply.workflow.jobs["completed"] == 1:
                break
        assert reply.workflow.status is WorkflowStatus.PAUSED
        assert reply.workflow.jobs["ready"] == 1
    assert daemon.torcctl("-k", key, "resume").returncode == 0
    assert over(daemon, key).status is WorkflowStatus.COMPLETED


def test_disabled_jobs_count_as_done(daemon: Daemon, tmp_path: Path) -> None:
    gate = Gate(tmp_path, "gate")
    key = daemon.submit(
        {
            "jobs": [
                {"name": "first", "command": gate.command},
                {"name": "out", "command": "false", "depends_on": ["first"]},
                {"name": "last", "command": "true", "depends_on": ["out"]},
            ]
        }
    )
    assert daemon.torcctl("-k", key, "disable", "out").returncode == 0
    gate.open()
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    jobs = daemon.jobs(key)
    assert jobs["out"].status is JobStatus.DISABLED
    assert jobs["last"].status is JobStatus.COMPLETED


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_the_log_of_a_job_is_bounded_while_it_runs(tmp_path: Path) -> None:
    with running_daemon(tmp_path, "max_log_bytes = 8192") as daemon:
        # It ends when its own log, of which it writes far more, has become small.
        command = (
            "seq 100000; log=$(readlink /proc/$$/fd/1);"
            " until [ $(stat -c %s $log) -lt 8192 ]; do echo again; sleep 0.05; done; echo end"
        )
        key = daemon.submit({"jobs": [{"name": "chatty", "command": command}]})
        assert daemon.torcctl("-k", key, "wait").returncode == 0
        text = daemon.torcctl("-k", key, "logs", "chatty").stdout
        assert text.startswith("1\n2\n")
        assert "bytes left out here]" in text
        assert text.endswith("again\nend\n")
