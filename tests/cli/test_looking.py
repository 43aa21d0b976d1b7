"""run, submit, and the commands that look, as a user types them."""

import json
from pathlib import Path

from tests.cli.started import started
from tests.daemon_process import Daemon

DIAMOND = {
    "name": "diamond",
    "jobs": [
        {"name": "first", "command": "echo one; echo two >&2", "output_files": ["f"]},
        {"name": "bad", "command": "echo because >&2; exit 3", "depends_on": ["first"]},
        {"name": "after bad", "command": "true", "depends_on": ["bad"]},
        {"name": "good", "command": ["/bin/echo", "a  b"], "depends_on": ["first"]},
    ],
    "files": [{"name": "f", "path": "f.txt"}],
}
DIAMOND["jobs"][0]["command"] += "; echo x > f.txt"  # type: ignore[index]


def test_run_follows_to_the_end_and_tells_what_failed(daemon: Daemon) -> None:
    done = daemon.run(DIAMOND)
    assert done.returncode == 4
    assert done.stdout == ""
    assert "failed: bad: " in done.stderr
    assert "2 of 4 done, 1 failed, 1 canceled" in done.stderr
    assert "    | because\n" in done.stderr


def test_run_in_json_ends_with_the_status(daemon: Daemon) -> None:
    done = daemon.run(DIAMOND, "--no-fail", "--json")
    assert done.returncode == 0
    status = json.loads(done.stdout.splitlines()[-1])
    assert status["status"] == "failed"
    assert status["jobs"] == {
        "blocked": 0,
        "ready": 0,
        "pending": 0,
        "running": 0,
        "completed": 2,
        "failed": 1,
        "canceled": 1,
        "terminated": 0,
        "disabled": 0,
    }
    assert status == daemon.json("status")


def test_what_became_of_a_workflow_is_there_to_be_seen(daemon: Daemon) -> None:
    key = daemon.submit(DIAMOND)
    assert key.isdigit()
    assert daemon.torcctl("-k", key, "wait").returncode == 4

    jobs = {job["name"]: job for job in daemon.json("jobs")["items"]}
    assert list(jobs) == ["first", "bad", "after bad", "good"]
    assert (jobs["bad"]["status"], jobs["bad"]["return_code"]) == ("failed", 3)
    assert jobs["bad"]["reason"] == "exit"
    assert jobs["after bad"]["reason"] == "dependency"
    assert jobs["good"]["command"] == ["/bin/echo", "a  b"]
    failed = daemon.json("jobs", "--status", "failed", "--name", "b*")["items"]
    assert [job["name"] for job in failed] == ["bad"]

    results = daemon.json("results")["items"]
    assert sorted(result["job_name"] for result in results) == ["bad", "first", "good"]
    assert all(result["cpu_seconds"] is not None for result in results)

    (file,) = daemon.json("files")["items"]
    assert (file["name"], file["exists"], file["producers"]) == ("f", True, ["first"])
    assert Path(file["path"]) == daemon.directory / "f.txt"

    assert daemon.torcctl("logs", "first").stdout == "one\n"
    assert daemon.torcctl("logs", jobs["first"]["key"], "--stderr").stdout == "two\n"
    assert daemon.torcctl("logs", "good", "-f").stdout == "a  b\n"
    never = daemon.torcctl("logs", "after bad")
    assert never.returncode == 1
    assert "never ran" in never.stderr

    explained = daemon.json("explain", "after bad")
    assert "bad" in explained["summary"] + " ".join(explained["waits_for"])
    assert explained["job"]["status"] == "canceled"

    (workflow,) = daemon.json("ls")["items"]
    assert workflow == daemon.json("status") | {"actions": None}  # lists do not look at them

    events = daemon.json("events")["items"]
    numbers = [event["number"] for event in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert daemon.json("events", "--since", str(numbers[-1]))["items"] == events[-1:]


def test_tables_have_the_same_things(daemon: Daemon) -> None:
    daemon.run(DIAMOND)
    for words, expected in {
        ("ls",): "diamond",
        ("status",): "2 of 4 done, 1 failed, 1 canceled",
        ("jobs",): "after bad",
        ("results",): "good",
        ("files",): str(daemon.directory / "f.txt"),
        ("events",): "job_changed",
        ("explain", "bad"): "bad",
        ("daemon", "status"): str(daemon.socket),
        ("collections", "list"): "job-consumes-data",
        ("collections", "join", "job-blocks"): "after bad",
    }.items():
        done = daemon.torcctl(*words)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout


def test_without_a_workflow_it_is_said_what_to_do(daemon: Daemon) -> None:
    done = daemon.torcctl("status")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no workflow" in done.stderr
    assert daemon.json("ls") == {"items": []}


def test_what_is_not_there_is_1(daemon: Daemon) -> None:
    daemon.run(DIAMOND)
    for words in (
        ("-k", "9999", "status"),
        ("logs", "nobody"),
        ("explain", "nobody"),
        ("cancel", "nobody"),
        ("data", "get", "nothing"),
        ("collections", "join", "nothing"),
    ):
        done = daemon.torcctl(*words)
        assert (done.returncode, done.stdout) == (1, ""), words
        assert done.stderr.startswith("torcctl: ")


def test_inputs_that_are_not_there_are_refused_by_name(daemon: Daemon) -> None:
    spec = {
        "jobs": [{"command": "true", "input_files": ["f"]}],
        "files": [{"name": "f", "path": "missing.txt"}],
    }
    done = daemon.run(spec)
    assert done.returncode == 1
    assert "missing.txt" in done.stderr or "'f'" in done.stderr
    assert daemon.json("ls") == {"items": []}


def test_logs_follow_a_job_from_before_its_start_to_its_end(daemon: Daemon) -> None:
    # The job waits for the test at its fifo, so the two overlap for certain.
    fifo = daemon.directory / "fifo"
    spec = {
        "jobs": [
            {"name": "writer", "command": f"mkfifo {fifo}; echo begun; cat {fifo}; echo over"},
        ]
    }
    key = daemon.submit(spec)
    with started(daemon, "-k", key, "logs", "writer", "-f") as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "begun\n"
        with fifo.open("w") as sender:
            sender.write("middle\n")
            sender.flush()
            assert reader.stdout.readline() == "middle\n"
        assert reader.stdout.read() == "over\n"
        assert reader.wait() == 0
