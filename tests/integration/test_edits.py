"""Specs of workflows are edited, with a real daemon."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.daemon_process import BIN, Daemon
from tests.integration.test_running_again import Halt, diamond, outlooks, ran, restart
from tests.integration.test_workflows import over
from torcd import errors
from torcd.model import JobStatus, WorkflowStatus
from torcd.protocol import manager as m


def applied(daemon: Daemon, key: str, spec: dict[str, Any], **more: Any) -> m.Applied:
    with daemon.client() as client:
        return client.apply(spec, directory=str(daemon.directory), workflow_key=key, **more)


def changes(reply: m.Applied) -> list[tuple[str, str, str]]:
    return [(one.change, one.kind, one.name) for one in reply.changes]


def check_db(daemon: Daemon) -> None:
    done = subprocess.run(
        [str(BIN / "torcd"), "check-db"],
        env=daemon.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def without(spec: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**spec, "jobs": [job for job in spec["jobs"] if job["name"] not in names]}


def with_command(spec: dict[str, Any], name: str, command: str) -> dict[str, Any]:
    jobs = [{**job, "command": command} if job["name"] == name else job for job in spec["jobs"]]
    return {**spec, "jobs": jobs}


@pytest.fixture
def done(daemon: Daemon, tmp_path: Path) -> tuple[Daemon, Path, str]:
    """The diamond has completed once."""
    (tmp_path / "in.txt").write_text("first\n")
    key = daemon.submit(diamond())
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    ran(tmp_path)
    return daemon, tmp_path, key


def test_the_same_spec_changes_nothing_also_after_a_restart_of_the_daemon(
    done: tuple[Daemon, Path, str],
) -> None:
    daemon, directory, key = done
    (directory / "in.txt").write_text("other\n")  # which is for a restart
    for _ in range(2):
        reply = applied(daemon, key, diamond())
        assert (reply.applied, reply.restarted, reply.changes, reply.items) == (
            False, False, [], [],
        )  # fmt: skip
        daemon.kill()
        daemon.start()
    assert over(daemon, key).run_id == 1
    assert ran(directory) == []


def test_another_command_runs_again_with_what_comes_after_it_and_nothing_else(
    done: tuple[Daemon, Path, str],
) -> None:
    daemon, directory, key = done
    edited = with_command(
        diamond(), "left", "echo left >> ran; tac root.txt > left.txt; echo >> left.txt"
    )
    would = applied(daemon, key, edited, dry_run=True)
    assert (would.applied, would.restarted, would.run_id) == (False, True, 2)
    assert {item.name: item.outlook for item in would.items} == {
        "root": "up_to_date", "left": "will_run", "right": "up_to_date", "end": "may_run",
    }  # fmt: skip
    assert over(daemon, key).run_id == 1
    reply = applied(daemon, key, edited)
    assert (reply.applied, reply.changes, reply.items) == (True, would.changes, would.items)
    assert over(daemon, key).run_id == 2
    assert ran(directory) == ["left", "end"]
    assert not applied(daemon, key, edited).applied
    assert not restart(daemon, key).restarted


def test_a_job_is_renamed_and_the_results_of_the_old_one_are_kept(
    done: tuple[Daemon, Path, str],
) -> None:
    daemon, directory, key = done
    spec = diamond()
    jobs = [{**j, "name": "last"} if j["name"] == "end" else j for j in spec["jobs"]]
    reply = applied(daemon, key, {**spec, "jobs": jobs})
    assert changes(reply) == [("removed", "job", "end"), ("added", "job", "last")]
    over(daemon, key)
    assert ran(directory) == ["end"]  # as its command says
    with daemon.client() as client:
        results = client.results(all_runs=True, workflow_key=key)
        events = client.call(m.ListEvents(workflow_key=key)).items
        joined = client.call(m.Join(name="job-results", workflow_key=key)).items
    assert [(r.job_name, r.run_id) for r in results if r.job_name in ("end", "last")] == [
        ("end", 1),
        ("last", 2),
    ]
    assert "end" in {event.job_name for event in events}
    assert {one.source.name for one in joined} == {"last"}
    assert set(daemon.jobs(key)) == {"root", "left", "right", "last"}
    daemon.stop()
    check_db(daemon)
    daemon.start()
    with daemon.client() as client:
        assert client.call(m.Delete(workflow_key=key)).key == key


def test_files_and_values_are_removed_and_come_back_as_new_ones(
    daemon: Daemon, tmp_path: Path
) -> None:
    reader = {"name": "reader", "command": "echo reader >> ran", "input_user_data": ["value"]}
    other = {"name": "other", "command": "echo other >> ran"}
    spec = {"jobs": [reader, other], "user_data": [{"name": "value", "data": 1}]}
    key = daemon.submit(spec)
    over(daemon, key)
    first = daemon.json("-k", key, "data", "get", "value", "--record")
    ran(tmp_path)
    plain = {"name": "reader", "command": "echo reader >> ran"}
    reply = applied(daemon, key, {"jobs": [plain, other]})
    assert changes(reply) == [("changed", "job", "reader"), ("removed", "user_data", "value")]
    over(daemon, key)
    assert ran(tmp_path) == ["reader"]
    assert daemon.json("-k", key, "data", "list")["items"] == []
    with daemon.client() as client:
        names = {e.user_data_name for e in client.call(m.ListEvents(workflow_key=key)).items}
    assert names <= {None, "value"}
    applied(daemon, key, spec)
    over(daemon, key)
    second = daemon.json("-k", key, "data", "get", "value", "--record")
    assert second["key"] != first["key"]
    daemon.stop()
    check_db(daemon)
    daemon.start()
    assert not applied(daemon, key, spec).changes


def test_another_initial_value_is_a_revision_and_runs_who_reads_it(
    daemon: Daemon, tmp_path: Path
) -> None:
    def spec(value: int) -> dict[str, Any]:
        return {
            "jobs": [
                {
                    "name": "reader",
                    "command": "torcctl data get value >> ran",
                    "input_user_data": ["value"],
                },
                {"name": "other", "command": "echo other >> ran"},
            ],
            "user_data": [{"name": "value", "data": value}],
        }

    key = daemon.submit(spec(1))
    over(daemon, key)
    ran(tmp_path)
    [item] = [one for one in applied(daemon, key, spec(2)).items if one.name == "reader"]
    assert item.reason == 'user_data "value" has another value'
    over(daemon, key)
    assert ran(tmp_path) == ["2"]
    items = daemon.json("-k", key, "data", "history", "value")["items"]
    assert [(one["revision"], one["data"]) for one in items] == [(1, 1), (2, 2)]
    assert not applied(daemon, key, spec(2)).applied
    daemon.kill()
    daemon.start()
    assert not applied(daemon, key, spec(2)).applied


def test_a_command_names_a_value_by_its_own_key(daemon: Daemon, tmp_path: Path) -> None:
    spec: dict[str, Any] = {"jobs": [{"name": "a", "command": "true"}]}
    key = daemon.submit(spec)
    over(daemon, key)
    spec["jobs"].append({"name": "b", "command": "torcctl data get ${user_data.input.new} > read"})
    spec["user_data"] = [{"name": "new", "data": [1, 2]}]
    applied(daemon, key, spec)
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert (tmp_path / "read").read_text() == "[1,2]\n"


# While it runs


@pytest.fixture
def running(daemon: Daemon, tmp_path: Path) -> tuple[Daemon, Halt, str, dict[str, Any]]:
    """`held` waits at a gate; `after` comes after it."""
    gate = Halt(tmp_path, "gate")
    spec = {
        "jobs": [
            {"name": "held", "command": f"{gate.command}; echo held >> ran"},
            {"name": "after", "command": "echo after >> ran", "depends_on": ["held"]},
        ]
    }
    key = daemon.submit(spec)
    gate.wait()
    follow(daemon, key, "held", "running")
    return daemon, gate, key, spec


def follow(daemon: Daemon, key: str, job: str, status: str) -> None:
    """Return when the job is, or was, that."""
    with daemon.client() as client:
        for reply in client.stream(m.FollowEvents(workflow_key=key, since=1)):
            if (reply.event.job_name, reply.event.status) == (job, status):
                return


def test_a_workflow_that_runs_is_added_to(
    running: tuple[Daemon, Halt, str, dict[str, Any]], tmp_path: Path
) -> None:
    daemon, gate, key, spec = running
    at_once = {"name": "at_once", "command": "echo at_once >> ran"}
    then = {"name": "then", "command": "echo then >> ran", "depends_on": ["after", "at_once"]}
    reply = applied(daemon, key, {"jobs": [*spec["jobs"], at_once, then]})
    assert {item.name: item.outlook for item in reply.items} == {
        "at_once": "will_run", "then": "will_run",
    }  # fmt: skip
    assert not reply.restarted
    follow(daemon, key, "at_once", "completed")
    daemon.kill()
    daemon.start()
    assert daemon.jobs(key)["then"].status is JobStatus.BLOCKED
    gate.open()
    info = over(daemon, key)
    assert (info.status, info.run_id) == (WorkflowStatus.COMPLETED, 1)
    assert ran(tmp_path) == ["at_once", "held", "after", "then"]


def test_the_consumer_of_a_job_that_runs_is_removed(
    running: tuple[Daemon, Halt, str, dict[str, Any]], tmp_path: Path
) -> None:
    daemon, gate, key, spec = running
    assert changes(applied(daemon, key, without(spec, "after"))) == [("removed", "job", "after")]
    gate.open()
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert ran(tmp_path) == ["held"]
    assert set(daemon.jobs(key)) == {"held"}
    daemon.stop()
    check_db(daemon)


def test_what_runs_is_not_changed_and_then_nothing_is(
    running: tuple[Daemon, Halt, str, dict[str, Any]], tmp_path: Path
) -> None:
    daemon, gate, key, spec = running
    new = {"name": "new", "command": "echo new >> ran"}
    for edited in (with_command(spec, "held", "false"), without(spec, "held", "after")):
        with pytest.raises(errors.WrongState, match='job "held" runs'):
            applied(daemon, key, {"jobs": [*edited["jobs"], new]})
    assert set(daemon.jobs(key)) == {"held", "after"}
    assert not applied(daemon, key, spec).changes
    gate.open()
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert ran(tmp_path) == ["held", "after"]


def test_one_that_has_completed_runs_as_it_is_now_with_the_next_restart(
    running: tuple[Daemon, Halt, str, dict[str, Any]], tmp_path: Path
) -> None:
    daemon, gate, key, spec = running
    quick = {"name": "quick", "command": "echo quick >> ran"}
    applied(daemon, key, {"jobs": [*spec["jobs"], quick]})
    follow(daemon, key, "quick", "completed")
    other = {"name": "quick", "command": "echo quicker >> ran"}
    [item] = applied(daemon, key, {"jobs": [*spec["jobs"], other]}).items
    assert (item.outlook, item.status) == ("next_run", JobStatus.COMPLETED)
    gate.open()
    over(daemon, key)
    assert ran(tmp_path) == ["quick", "held", "after"]
    assert outlooks(restart(daemon, key, dry_run=True))["quick"] == "will_run"
    restart(daemon, key, jobs=["quick"])
    assert ran(tmp_path) == ["quicker"]


def test_the_environment_of_what_is_started_later_is_the_new_one(
    running: tuple[Daemon, Halt, str, dict[str, Any]], tmp_path: Path
) -> None:
    daemon, gate, key, spec = running
    new = {"name": "new", "command": 'echo "$COLOUR" >> ran'}
    applied(daemon, key, {"env": {"COLOUR": "red"}, "jobs": [*spec["jobs"], new]})
    gate.open()
    over(daemon, key)
    assert sorted(ran(tmp_path)) == ["after", "held", "red"]


def test_a_spec_that_is_wrong_or_needs_what_is_not_there_changes_nothing(
    done: tuple[Daemon, Path, str],
) -> None:
    daemon, _, key = done
    spec = diamond()
    circle = {"name": "more", "command": "true", "depends_on": ["more"]}
    with pytest.raises(errors.InvalidSpec, match="more"):
        applied(daemon, key, {**spec, "jobs": [*spec["jobs"], circle]})
    twice = spec["jobs"][0]
    with pytest.raises(errors.InvalidSpec, match="root"):
        applied(daemon, key, {**spec, "jobs": [*spec["jobs"], twice]})
    wants = {"name": "wants", "command": "true", "input_files": ["nowhere"]}
    with pytest.raises(errors.MissingInputs, match="nowhere"):
        applied(
            daemon,
            key,
            {
                "jobs": [*spec["jobs"], wants],
                "files": [*spec["files"], {"name": "nowhere", "path": "nowhere"}],
            },
        )
    assert not applied(daemon, key, spec).changes
    assert set(daemon.jobs(key)) == {"root", "left", "right", "end"}


def test_a_file_that_is_waited_for_is_looked_for_where_it_is_now(
    daemon: Daemon, tmp_path: Path
) -> None:
    def spec(path: str) -> dict[str, Any]:
        return {
            "jobs": [
                {"name": "reader", "command": "echo reader >> ran", "input_files": ["in"]},
            ],
            "files": [{"name": "in", "path": path}],
        }

    key = daemon.submit(spec("old.txt"), "--wait-for-inputs")
    assert changes(applied(daemon, key, spec("new.txt"))) == [("changed", "file", "in")]
    (tmp_path / "old.txt").write_text("")
    # The directory is watched: what appears in it is seen in order.
    sentinel = daemon.submit(spec("sentinel.txt"), "--wait-for-inputs")
    (tmp_path / "sentinel.txt").write_text("")
    assert over(daemon, sentinel).status is WorkflowStatus.COMPLETED
    assert daemon.jobs(key)["reader"].status is JobStatus.BLOCKED
    (tmp_path / "new.txt").write_text("")
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
