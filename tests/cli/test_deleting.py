"""delete, archive, unarchive, and the age at which workflows go by themselves."""

import subprocess
from pathlib import Path

from tests.cli.started import started
from tests.daemon_process import Daemon, running_daemon

DONE = {"name": "done", "jobs": [{"name": "a", "command": "echo hello"}]}
HELD = {"name": "held", "jobs": [{"name": "a", "command": "echo begun; sleep 1000"}]}


def ran(daemon: Daemon) -> str:
    key = daemon.submit(DONE)
    assert daemon.torcctl("-k", key, "wait").returncode == 0
    return key


def begun(daemon: Daemon, key: str) -> None:
    with started(daemon, "-k", key, "logs", "a", "-f") as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "begun\n"


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    return done.stderr


def test_a_deleted_workflow_is_gone(daemon: Daemon) -> None:
    first, second = ran(daemon), ran(daemon)
    done = daemon.torcctl("-k", first, "delete")
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "",
        f"workflow {first} done deleted\n",
    )
    assert [item["key"] for item in daemon.json("ls")["items"]] == [second]
    for words in (["status"], ["jobs"], ["results"], ["delete"], ["logs", "a"], ["events"]):
        assert f"no workflow has the key {first}" in refusal(daemon.torcctl("-k", first, *words)), (
            words
        )
    assert all(item["workflow_key"] == second for item in daemon.json("events")["items"][-3:])
    daemon.stop()
    daemon.start()
    assert [item["key"] for item in daemon.json("ls")["items"]] == [second]
    assert int(daemon.submit(DONE)) > int(second)


def test_one_that_runs_is_deleted_only_by_force(daemon: Daemon) -> None:
    key = daemon.submit(HELD)
    begun(daemon, key)
    assert "delete it with --force" in refusal(daemon.torcctl("-k", key, "delete"))
    with started(daemon, "events", "-f", "--since", "1") as events:
        assert events.stdout is not None
        assert events.stdout.readline()  # it listens
        with started(daemon, "-k", key, "wait") as waiting:
            assert daemon.json("-k", key, "delete", "--force") == {"key": key, "name": "held"}
            assert waiting.wait(timeout=20) in (1, 4)  # it may see the end, or nothing any more
        assert any("workflow_deleted" in line for line in events.stdout)
    assert daemon.json("ls")["items"] == []


def test_its_logs_and_rows_go_too(daemon: Daemon) -> None:
    key = ran(daemon)
    logs = daemon.state_dir / "logs" / key
    assert list(logs.iterdir())
    assert daemon.torcctl("-k", key, "delete").returncode == 0
    _until_logged(daemon, "workflow_removed")
    assert not logs.exists()


def test_who_waits_for_a_value_of_it_is_told(daemon: Daemon) -> None:
    spec = {
        "user_data": [{"name": "v"}],
        "jobs": [{"name": "a", "command": "exit 1", "output_user_data": ["v"]}],
    }
    key = daemon.submit(spec)
    assert daemon.torcctl("-k", key, "wait").returncode == 4
    with started(daemon, "-k", key, "data", "watch", "v") as watching:
        assert watching.stdout is not None
        watching.stdout.readline()
        assert daemon.torcctl("-k", key, "delete").returncode == 0
        assert watching.wait(timeout=20) == 1


def test_an_archived_workflow_is_hidden_until_it_is_put_back(daemon: Daemon) -> None:
    first, second = ran(daemon), ran(daemon)
    assert daemon.json("-k", second, "archive")["archived"] is True
    assert [item["key"] for item in daemon.json("ls")["items"]] == [first]
    items = daemon.json("ls", "--archived")["items"]
    assert {item["key"]: item["archived"] for item in items} == {first: False, second: True}
    assert daemon.json("status")["key"] == first  # the newest that is not archived
    assert daemon.json("-k", second, "status")["archived"] is True
    daemon.kill()
    daemon.start()
    assert [item["key"] for item in daemon.json("ls")["items"]] == [first]
    assert daemon.torcctl("unarchive").returncode == 2
    assert daemon.json("-k", second, "unarchive")["archived"] is False
    assert [item["key"] for item in daemon.json("ls")["items"]] == [first, second]


def test_one_that_runs_cannot_be_archived(daemon: Daemon) -> None:
    key = daemon.submit(HELD)
    assert "only one that is over" in refusal(daemon.torcctl("-k", key, "archive"))


def test_workflows_go_when_they_have_been_over_for_long_enough(tmp_path: Path) -> None:
    with running_daemon(tmp_path) as daemon:
        kept, gone = ran(daemon), ran(daemon)
        assert daemon.torcctl("-k", kept, "archive").returncode == 0
        daemon.stop()
        daemon.config.write_text("retention_days = 1e-9")
        daemon.start()
        _until_logged(daemon, "workflow_removed")
        assert [item["key"] for item in daemon.json("ls", "--archived")["items"]] == [kept]
        assert not (daemon.state_dir / "logs" / gone).exists()
        assert (daemon.state_dir / "logs" / kept).exists()
        daemon.run(DONE)  # and one that ends later
        _until_logged(daemon, "workflow_removed", times=2)


def _until_logged(daemon: Daemon, word: str, times: int = 1) -> None:
    with subprocess.Popen(
        ["tail", "-n", "+1", "-f", str(daemon.log)], stdout=subprocess.PIPE, text=True
    ) as tail:
        assert tail.stdout is not None
        for line in tail.stdout:
            times -= word in line
            if not times:
                break
        tail.kill()
