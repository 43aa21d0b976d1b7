"""wait, cancel, pause, resume, disable, enable."""

import json
import os
from pathlib import Path
from typing import Any

from tests.cli.started import started
from tests.daemon_process import Daemon


def held(name: str, **fields: Any) -> dict[str, Any]:
    """A job that says `begun` and then waits until somebody writes into its fifo."""
    return {
        "name": name,
        "command": f"mkfifo {name}.fifo; echo begun; cat {name}.fifo; echo over",
        **fields,
    }


def begun(daemon: Daemon, key: str, name: str) -> None:
    """Wait until a held job waits."""
    with started(daemon, "-k", key, "logs", name, "-f") as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "begun\n"


def release(daemon: Daemon, name: str) -> None:
    Path(daemon.directory / f"{name}.fifo").write_text("")


def statuses(daemon: Daemon, key: str) -> dict[str, str]:
    return {job["name"]: job["status"] for job in daemon.json("-k", key, "jobs")["items"]}


def test_wait_gives_up_in_time(daemon: Daemon) -> None:
    key = daemon.submit({"jobs": [held("a")]})
    begun(daemon, key, "a")
    done = daemon.torcctl("wait", "--timeout", "0.2", "--json")
    assert (done.returncode, done.stdout) == (124, "")
    assert json.loads(done.stderr)["timeout_seconds"] == 0.2
    release(daemon, "a")
    assert daemon.json("-k", key, "wait")["status"] == "completed"


def test_cancel_ends_the_workflow_and_wait_says_4(daemon: Daemon) -> None:
    key = daemon.submit({"jobs": [held("a"), {"name": "b", "command": "x", "depends_on": ["a"]}]})
    begun(daemon, key, "a")
    done = daemon.torcctl("-k", key, "cancel", "--wait")
    assert done.returncode == 0, done.stderr
    assert statuses(daemon, key) == {"a": "canceled", "b": "canceled"}
    assert daemon.torcctl("-k", key, "wait").returncode == 4
    assert daemon.json("-k", key, "status")["status"] == "canceled"


def test_cancel_of_a_job_leaves_the_others(daemon: Daemon) -> None:
    key = daemon.submit({"jobs": [held("a"), held("b")]}, "-j", "2")
    begun(daemon, key, "a")
    begun(daemon, key, "b")
    assert daemon.json("-k", key, "cancel", "a", "--wait")["jobs"] == ["a"]
    assert statuses(daemon, key) == {"a": "canceled", "b": "running"}
    release(daemon, "b")
    assert daemon.torcctl("-k", key, "wait").returncode == 4
    assert statuses(daemon, key) == {"a": "canceled", "b": "completed"}


def test_a_paused_workflow_starts_nothing_until_it_is_resumed(daemon: Daemon) -> None:
    jobs = [held("a"), {"name": "b", "command": "true", "depends_on": ["a"]}]
    key = daemon.submit({"jobs": jobs})
    begun(daemon, key, "a")
    assert daemon.json("-k", key, "pause")["status"] == "paused"
    release(daemon, "a")
    done = daemon.torcctl("-k", key, "wait", "--timeout", "0.3")
    assert done.returncode == 124
    assert statuses(daemon, key) == {"a": "completed", "b": "ready"}
    assert daemon.torcctl("-k", key, "resume").returncode == 0
    assert daemon.torcctl("-k", key, "wait").returncode == 0


def test_a_disabled_job_counts_as_done_and_can_be_put_back(daemon: Daemon) -> None:
    jobs = [held("a"), {"name": "b", "command": "true", "depends_on": ["a"]}]
    key = daemon.submit({"jobs": jobs})
    begun(daemon, key, "a")
    assert daemon.json("-k", key, "disable", "b")["jobs"] == ["b"]
    assert statuses(daemon, key)["b"] == "disabled"
    assert daemon.json("-k", key, "enable", "b")["jobs"] == ["b"]
    assert statuses(daemon, key)["b"] == "blocked"
    assert daemon.torcctl("-k", key, "disable", "b").returncode == 0
    release(daemon, "a")
    assert daemon.torcctl("-k", key, "wait").returncode == 0
    assert statuses(daemon, key) == {"a": "completed", "b": "disabled"}


def test_ctrl_c_detaches_and_the_workflow_goes_on(daemon: Daemon) -> None:
    (daemon.directory / "w.json").write_text(json.dumps({"jobs": [held("a")]}))
    with started(daemon, "run", "w.json") as running:
        assert running.stderr is not None
        key = running.stderr.readline().split()[1]
        begun(daemon, key, "a")
        os.kill(running.pid, 2)
        said = running.stderr.read()
        running.wait()
    assert running.returncode == 130
    assert f"torcctl -k {key} wait" in said
    assert statuses(daemon, key) == {"a": "running"}
    release(daemon, "a")
    assert daemon.torcctl("-k", key, "wait").returncode == 0


def test_ctrl_c_cancels_where_that_was_asked_for(daemon: Daemon) -> None:
    (daemon.directory / "w.json").write_text(json.dumps({"jobs": [held("a")]}))
    with started(daemon, "run", "w.json", "--cancel-on-interrupt") as running:
        assert running.stderr is not None
        key = running.stderr.readline().split()[1]
        begun(daemon, key, "a")
        os.kill(running.pid, 2)
        said = running.stderr.read()
        running.wait()
    assert running.returncode == 130
    assert f"workflow {key} workflow canceled" in said or f"workflow {key} w canceled" in said
    assert statuses(daemon, key) == {"a": "canceled"}


def test_run_and_followed_events_stay_across_a_daemon_that_is_killed(daemon: Daemon) -> None:
    (daemon.directory / "w.json").write_text(json.dumps({"jobs": [held("a")]}))
    with started(daemon, "run", "w.json") as running:
        assert running.stderr is not None
        key = running.stderr.readline().split()[1]
        begun(daemon, key, "a")
        with started(daemon, "-k", key, "events", "-f", "--since", "1", "--json") as events:
            assert events.stdout is not None
            numbers = [json.loads(events.stdout.readline())["number"]]
            daemon.kill()
            daemon.start()
            release(daemon, "a")
            _, said = running.communicate()
            assert running.returncode == 0, said
            for line in events.stdout:
                event = json.loads(line)
                numbers.append(event["number"])
                if event["kind"] == "workflow_changed" and event["status"] == "completed":
                    break
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
