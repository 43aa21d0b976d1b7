"""Workflows run again with a real daemon: what other runners get wrong."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.daemon_process import Daemon
from tests.integration.test_workflows import Gate, over
from torcd.model import JobStatus, WorkflowStatus
from torcd.protocol import manager as m


class Halt(Gate):
    """A gate at which it is seen when a job has come to it."""

    def wait(self) -> None:
        self._writer = os.open(self.path, os.O_WRONLY)

    def open(self) -> None:
        os.close(self._writer)


def diamond() -> dict[str, Any]:
    """Each job says in `ran` that it has run."""

    def one(name: str, reads: list[str], writes: str) -> dict[str, Any]:
        sources = " ".join(f"{read}.txt" for read in reads)
        return {
            "name": name,
            "command": f"echo {name} >> ran; cat {sources} > {writes}.txt",
            "input_files": reads,
            "output_files": [writes],
        }

    return {
        "jobs": [
            one("root", ["in"], "root"),
            one("left", ["root"], "left"),
            one("right", ["root"], "right"),
            one("end", ["left", "right"], "end"),
        ],
        "files": [
            {"name": name, "path": f"{name}.txt"} for name in ("in", "root", "left", "right", "end")
        ],
    }


def ran(directory: Path) -> list[str]:
    """Which jobs have run since it was asked last."""
    path = directory / "ran"
    found = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return found


def outlooks(reply: m.Restarted) -> dict[str, str]:
    return {item.name: item.outlook for item in reply.items}


@pytest.fixture
def done(daemon: Daemon, tmp_path: Path) -> tuple[Daemon, Path, str]:
    """The diamond has completed once."""
    (tmp_path / "in.txt").write_text("first\n")
    key = daemon.submit(diamond())
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert sorted(ran(tmp_path)) == ["end", "left", "right", "root"]
    return daemon, tmp_path, key


def restart(daemon: Daemon, key: str, **more: Any) -> m.Restarted:
    with daemon.client() as client:
        reply = client.call(m.Restart(workflow_key=key, **more))
    if reply.restarted:
        over(daemon, key)
    return reply


def test_right_after_the_first_run_nothing_runs(done: tuple[Daemon, Path, str]) -> None:
    daemon, directory, key = done
    reply = restart(daemon, key)
    assert not reply.restarted
    assert reply.run_id == 1
    assert set(outlooks(reply).values()) == {"up_to_date"}
    assert ran(directory) == []


def test_a_touch_runs_nothing_and_an_edit_what_reads_it(done: tuple[Daemon, Path, str]) -> None:
    daemon, directory, key = done
    os.utime(directory / "in.txt", ns=(1, 1))
    assert not restart(daemon, key).restarted
    (directory / "in.txt").write_text("other\n")
    dry = restart(daemon, key, dry_run=True)
    assert (dry.restarted, dry.run_id) == (False, 2)
    assert outlooks(dry) == {
        "root": "will_run",
        "left": "may_run",
        "right": "may_run",
        "end": "may_run",
    }
    assert ran(directory) == []
    assert restart(daemon, key).restarted
    assert sorted(ran(directory)) == ["end", "left", "right", "root"]
    assert (directory / "end.txt").read_text() == "other\nother\n"
    assert not restart(daemon, key).restarted


def test_an_output_deleted_by_hand_is_made_again_and_nothing_else(
    done: tuple[Daemon, Path, str],
) -> None:
    daemon, directory, key = done
    (directory / "root.txt").unlink()
    assert restart(daemon, key).restarted
    assert ran(directory) == ["root"]
    with daemon.client() as client:
        results = client.results(all_runs=True, workflow_key=key)
        [newest] = client.results(run_id=2, workflow_key=key)
        events = client.call(m.ListEvents(workflow_key=key)).items
    first = {(name, 1) for name in ("root", "left", "right", "end")}
    assert {(r.job_name, r.run_id) for r in results} == first | {("root", 2)}
    assert newest.job_name == "root"
    cut_off = [e.job_name for e in events if e.kind == "job_up_to_date"]
    assert cut_off == ["left", "right", "end"]
    assert not restart(daemon, key).restarted


def test_an_output_edited_by_hand_is_read_again_and_not_made_again(
    done: tuple[Daemon, Path, str],
) -> None:
    daemon, directory, key = done
    (directory / "left.txt").write_text("by hand\n")
    assert restart(daemon, key).restarted
    assert ran(directory) == ["end"]
    assert (directory / "end.txt").read_text() == "by hand\nfirst\n"


def test_it_is_the_same_after_the_daemon_was_killed(done: tuple[Daemon, Path, str]) -> None:
    daemon, directory, key = done
    daemon.kill()
    daemon.start()
    assert not restart(daemon, key).restarted
    (directory / "in.txt").write_text("first, longer\n")
    daemon.kill()
    daemon.start()
    assert restart(daemon, key).restarted
    assert sorted(ran(directory)) == ["end", "left", "right", "root"]


def test_a_restart_after_a_kill_in_the_middle_does_what_is_left(
    daemon: Daemon, tmp_path: Path
) -> None:
    gate = Halt(tmp_path, "gate")
    spec: dict[str, Any] = {
        "jobs": [
            {"name": "a", "command": "echo a >> ran"},
            {"name": "b", "command": f"echo b >> ran; {gate.command}", "depends_on": ["a"]},
            {"name": "c", "command": "echo c >> ran", "depends_on": ["b"]},
        ]
    }
    key = daemon.submit(spec)
    gate.wait()
    with daemon.client() as client:
        client.cancel(workflow_key=key)
    assert over(daemon, key).status is WorkflowStatus.CANCELED
    gate.open()
    daemon.kill()
    daemon.start()
    assert ran(tmp_path) == ["a", "b"]
    with daemon.client() as client:
        assert client.call(m.Restart(workflow_key=key)).restarted
    gate.wait()
    daemon.kill()
    gate.open()
    daemon.start()
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert ran(tmp_path) == ["b", "c"]
    assert not restart(daemon, key).restarted


def test_a_job_that_may_run_is_still_spared_by_the_next_daemon(
    daemon: Daemon, tmp_path: Path
) -> None:
    gate = Halt(tmp_path, "gate")
    (tmp_path / "in").write_text("1")
    spec: dict[str, Any] = {
        "jobs": [
            {"name": "a", "command": f"echo a >> ran; {gate.command}; echo same > f",
             "input_files": ["in"], "output_files": ["f"]},
            {"name": "b", "command": "echo b >> ran", "input_files": ["f"]},
        ],
        "files": [{"name": "in", "path": "in"}, {"name": "f", "path": "f"}],
    }  # fmt: skip
    key = daemon.submit(spec)
    gate.wait()
    gate.open()
    over(daemon, key)
    ran(tmp_path)
    (tmp_path / "in").write_text("2")
    with daemon.client() as client:
        assert client.call(m.Restart(workflow_key=key)).restarted
    gate.wait()
    daemon.kill()
    gate.open()
    daemon.start()
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert ran(tmp_path) == ["a"]
    assert daemon.jobs(key)["b"].run_id == 1


def test_an_input_changed_while_it_is_read_makes_the_job_run_again(
    daemon: Daemon, tmp_path: Path
) -> None:
    gate = Halt(tmp_path, "gate")
    (tmp_path / "in").write_text("1")
    spec = {
        "jobs": [{"name": "a", "command": f"cat in; {gate.command}", "input_files": ["in"]}],
        "files": [{"name": "in", "path": "in"}],
    }
    key = daemon.submit(spec)
    gate.wait()
    (tmp_path / "in").write_text("2")
    gate.open()
    over(daemon, key)
    dry = restart(daemon, key, dry_run=True)
    assert [item.reason for item in dry.items] == [
        "what it reads changed while it ran, or had not come well"
    ]


def test_a_large_file_keeps_nobody_waiting_and_is_known_afterwards(
    daemon: Daemon, tmp_path: Path
) -> None:
    spec = {
        "jobs": [
            {"name": "big", "command": "truncate -s 200M big", "output_files": ["big"]},
            {"name": "dir", "command": "mkdir -p d && echo 1 > d/one", "output_files": ["d"]},
            {"name": "reads", "command": "test -s big -a -s d/one", "input_files": ["big", "d"]},
        ],
        "files": [{"name": "big", "path": "big"}, {"name": "d", "path": "d"}],
    }
    key = daemon.submit(spec)
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert not restart(daemon, key).restarted
    (tmp_path / "d" / "one").write_text("2")
    assert outlooks(restart(daemon, key, dry_run=True))["reads"] == "will_run"


def test_the_environment_is_that_of_the_submission(daemon: Daemon, tmp_path: Path) -> None:
    spec = {"jobs": [{"name": "a", "command": 'echo "$MARK" >> marks; exit 1'}]}
    with daemon.client() as client:
        submitted = client.submit(spec, directory=str(tmp_path), environment={"MARK": "x"})
    over(daemon, submitted.key)
    restart(daemon, submitted.key)
    assert (tmp_path / "marks").read_text() == "x\nx\n"


def test_a_run_of_some_jobs_leaves_the_others_alone(done: tuple[Daemon, Path, str]) -> None:
    daemon, directory, key = done
    (directory / "in.txt").write_text("other\n")
    reply = restart(daemon, key, jobs=["l*"], only=True)
    assert reply.restarted
    assert ran(directory) == ["left"]
    assert daemon.jobs(key)["end"].status is JobStatus.COMPLETED
    assert outlooks(restart(daemon, key, dry_run=True))["root"] == "will_run"


def test_a_retried_job_has_read_what_somebody_wrote_into_a_file_that_a_job_made(
    daemon: Daemon, tmp_path: Path
) -> None:
    key = daemon.submit(
        {
            "jobs": [
                {"name": "makes", "command": "echo made > f.txt", "output_files": ["f"]},
                {"name": "fails", "command": "test -e mended && cat f.txt", "input_files": ["f"]},
                {"name": "reads", "command": "cat f.txt", "input_files": ["f"]},
            ],
            "files": [{"name": "f", "path": "f.txt"}],
        }
    )
    assert over(daemon, key).status is WorkflowStatus.FAILED
    (tmp_path / "f.txt").write_text("edited\n")
    (tmp_path / "mended").touch()
    assert daemon.torcctl("-k", key, "retry", "fails").returncode == 0
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert daemon.torcctl("-k", key, "logs", "fails").stdout == "edited\n"
    reply = restart(daemon, key, dry_run=True)
    assert outlooks(reply) == {"makes": "up_to_date", "fails": "up_to_date", "reads": "will_run"}


def test_a_diamond_whose_root_failed_and_is_repaired_runs_each_once(
    daemon: Daemon, tmp_path: Path
) -> None:
    (tmp_path / "in.txt").mkdir()
    key = daemon.submit(diamond())
    assert over(daemon, key).status is WorkflowStatus.FAILED
    assert ran(tmp_path) == ["root"]
    assert {job.status for job in daemon.jobs(key).values()} == {
        JobStatus.FAILED,
        JobStatus.CANCELED,
    }
    (tmp_path / "in.txt").rmdir()
    (tmp_path / "in.txt").write_text("mended\n")
    assert restart(daemon, key).restarted
    found = ran(tmp_path)
    assert (found[0], set(found[1:3]), found[3:]) == ("root", {"left", "right"}, ["end"])
    assert (tmp_path / "end.txt").read_text() == "mended\nmended\n"
    assert not restart(daemon, key).restarted


def test_of_two_chains_only_what_failed_runs_again(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("1")
    spec = {
        "jobs": [
            {"name": "bad", "command": "echo bad >> ran; test -e mended"},
            {"name": "after_bad", "command": "echo after_bad >> ran", "depends_on": ["bad"]},
            {"name": "good", "command": "echo good >> ran", "input_files": ["in"]},
            {"name": "after_good", "command": "echo after_good >> ran", "depends_on": ["good"]},
        ],
        "files": [{"name": "in", "path": "in.txt"}],
    }
    key = daemon.submit(spec)
    assert over(daemon, key).status is WorkflowStatus.FAILED
    assert sorted(ran(tmp_path)) == ["after_good", "bad", "good"]
    (tmp_path / "mended").touch()
    (tmp_path / "in.txt").write_text("2")
    assert daemon.torcctl("-k", key, "restart", "--failed").returncode == 0
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert ran(tmp_path) == ["bad", "after_bad"]
    # What was left out is still out of date.
    assert restart(daemon, key).restarted
    assert ran(tmp_path) == ["good", "after_good"]


def values() -> dict[str, Any]:
    """`makes` reads `given` and stores `made`, which has nothing of it; `uses` reads that."""
    return {
        "jobs": [
            {
                "name": "makes",
                "command": 'echo makes >> ran; echo \'made={"a": 1, "b": 2}\' >> $TORC_OUTPUT',
                "input_user_data": ["given"],
                "output_user_data": ["made"],
            },
            {"name": "uses", "command": "echo uses >> ran", "input_user_data": ["made"]},
        ],
        "user_data": [{"name": "given", "data": {"x": 1, "y": 2}}, {"name": "made"}],
    }


def test_a_value_stored_again_and_equal_is_no_change_whoever_stores_it(
    daemon: Daemon, tmp_path: Path
) -> None:
    key = daemon.submit(values())
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert ran(tmp_path) == ["makes", "uses"]
    for name, text in (("given", '{"y": 2.0, "x": 1}'), ("made", '{"b": 2, "a": 1e0}')):
        assert daemon.torcctl("-k", key, "data", "put", name, text).returncode == 0
        assert not restart(daemon, key).restarted
    assert daemon.torcctl("-k", key, "data", "put", "given", "3").returncode == 0
    assert outlooks(restart(daemon, key)) == {"makes": "will_run", "uses": "may_run"}
    assert ran(tmp_path) == ["makes"]  # which stored an equal value
    history = daemon.json("-k", key, "data", "history", "made")["items"]
    assert [(item["revision"], (item["stored_by"] or {}).get("run_id")) for item in history] == [
        (1, 1),
        (2, None),
        (3, 2),
    ]
    assert not restart(daemon, key).restarted


def test_a_disabled_job_in_the_middle_is_passed_over(done: tuple[Daemon, Path, str]) -> None:
    daemon, directory, key = done
    assert daemon.torcctl("-k", key, "disable", "left").returncode == 0
    assert not restart(daemon, key).restarted
    (directory / "in.txt").write_text("other\n")
    assert outlooks(restart(daemon, key)) == {
        "root": "will_run",
        "left": "up_to_date",
        "right": "may_run",
        "end": "may_run",
    }
    assert ran(directory) == ["root", "right", "end"]
    assert (directory / "end.txt").read_text() == "first\nother\n"
    assert not restart(daemon, key).restarted
    assert daemon.torcctl("-k", key, "enable", "left").returncode == 0
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert ran(directory) == ["left"]
    assert restart(daemon, key).restarted
    assert ran(directory) == ["end"]
    assert (directory / "end.txt").read_text() == "other\nother\n"
