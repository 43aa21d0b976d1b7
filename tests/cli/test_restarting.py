"""Who waits, follows or watches goes on when the daemon is killed, stopped, and started again."""

import contextlib
import json
import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.started import started
from tests.cli.test_steering import begun, held, release
from tests.daemon_process import START_SECONDS, Daemon
from torcd.client import Client
from torcd.model import WorkflowStatus
from torcd.protocol import manager as m

AWAY = "the daemon went away; waiting for the next one\n"

SPEC: dict[str, Any] = {
    "jobs": [held("a"), {"name": "b", "command": "true", "depends_on": ["a"]}],
    "user_data": [{"name": "v"}],
}

End = Callable[[Daemon], object]


@pytest.fixture(params=[Daemon.kill, Daemon.stop], ids=["killed", "stopped"])
def end(request: pytest.FixtureRequest) -> End:
    found: End = request.param
    return found


@pytest.fixture
def key(daemon: Daemon) -> str:
    """A workflow whose job `a` runs until it is released."""
    key = daemon.submit(SPEC)
    begun(daemon, key, "a")
    return key


def until_it_waits_for_an_answer(process: "subprocess.Popen[str]") -> None:
    """It has connected, and sleeps. Nobody tells that, so its process is looked at."""
    ended = os.pidfd_open(process.pid)
    about = Path(f"/proc/{process.pid}")
    try:
        while True:
            with contextlib.suppress(FileNotFoundError):
                names = [os.readlink(entry) for entry in (about / "fd").iterdir()]
                state = (about / "stat").read_text().rpartition(")")[2].split()[0]
                if state == "S" and any(name.startswith("socket:") for name in names):
                    return
            assert not select.select([ended], [], [], 0.01)[0], "it does not wait"
    finally:
        os.close(ended)


def restart(daemon: Daemon, end: End, process: "subprocess.Popen[str]") -> None:
    """The next daemon comes when the process has noticed that there is none."""
    end(daemon)
    assert process.stderr is not None
    assert process.stderr.readline() == AWAY
    daemon.start()


def test_wait(daemon: Daemon, key: str, end: End) -> None:
    with started(daemon, "-k", key, "wait", "--json") as waiting:
        until_it_waits_for_an_answer(waiting)
        restart(daemon, end, waiting)
        release(daemon, "a")
        out, said = waiting.communicate(timeout=START_SECONDS)
    assert waiting.returncode == 0, said
    assert json.loads(out)["status"] == "completed"


def test_run(daemon: Daemon, end: End) -> None:
    (daemon.directory / "w.json").write_text(json.dumps(SPEC))
    with started(daemon, "run", "w.json", "--json") as running:
        assert running.stderr is not None
        key = running.stderr.readline().split()[1]
        begun(daemon, key, "a")
        restart(daemon, end, running)
        release(daemon, "a")
        out, said = running.communicate(timeout=START_SECONDS)
    assert running.returncode == 0, said
    assert json.loads(out)["status"] == "completed"


def test_a_followed_log(daemon: Daemon, key: str, end: End) -> None:
    with started(daemon, "-k", key, "logs", "a", "-f") as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "begun\n"
        until_it_waits_for_an_answer(following)
        # Not necessarily in the stream, at whose end it says so: it asks about the job in between.
        end(daemon)
        daemon.start()
        release(daemon, "a")
        out, said = following.communicate(timeout=START_SECONDS)
    assert (following.returncode, out) == (0, "over\n"), said


@pytest.mark.parametrize(
    ("words", "printed"),
    [(("logs", "a", "-f"), "begun\nover\n"), (("data", "history", "v"), "")],
)
def test_a_daemon_that_goes_away_before_its_first_answer(
    daemon: Daemon, key: str, words: tuple[str, ...], printed: str
) -> None:
    with asked_in_vain(daemon, "-k", key, *words) as asking:
        restart(daemon, Daemon.kill, asking)
        release(daemon, "a")
        out, said = asking.communicate(timeout=START_SECONDS)
    assert (asking.returncode, out) == (0, printed), said


def test_a_change_that_a_daemon_did_not_answer_is_not_asked_for_again(
    daemon: Daemon, key: str
) -> None:
    with asked_in_vain(daemon, "-k", key, "pause") as asking:
        daemon.kill()
        _, said = asking.communicate(timeout=START_SECONDS)
    assert asking.returncode == 3
    assert "it may or may not have done Pause" in said
    assert AWAY not in said
    daemon.start()
    release(daemon, "a")


@contextlib.contextmanager
def asked_in_vain(daemon: Daemon, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """The daemon stands still, and what it was asked waits in its socket."""
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGSTOP)
    with started(daemon, *words) as asking:
        until_it_waits_for_an_answer(asking)
        yield asking


def test_a_cancel_that_waits(daemon: Daemon, end: End) -> None:
    stubborn = {
        "name": "a",
        "command": "trap '' TERM; mkfifo a.fifo; echo begun; cat a.fifo",
        "supports_termination": True,
    }
    daemon.config.write_text("termination_grace_seconds = 1000\n")
    daemon.stop()
    daemon.start()
    key = daemon.submit({"jobs": [stubborn]})
    begun(daemon, key, "a")
    with started(daemon, "-k", key, "cancel", "--wait") as canceling:
        until_stopping(daemon, key)
        until_it_waits_for_an_answer(canceling)
        end(daemon)
        daemon.start()
        release(daemon, "a")
        _, said = canceling.communicate(timeout=START_SECONDS)
    assert canceling.returncode == 0, said
    assert daemon.json("-k", key, "status")["status"] == "canceled"


def until_stopping(daemon: Daemon, key: str) -> None:
    with daemon.client() as client:
        for reply in client.stream(m.FollowWorkflow(workflow_key=key)):
            if reply.workflow.stopping:
                return


def test_who_waits_for_a_value(daemon: Daemon, key: str, end: End) -> None:
    with started(daemon, "-k", key, "data", "get", "v", "--wait") as waiting:
        until_it_waits_for_an_answer(waiting)
        restart(daemon, end, waiting)
        daemon.torcctl("-k", key, "data", "put", "v", "7")
        out, said = waiting.communicate(timeout=START_SECONDS)
    assert (waiting.returncode, out) == (0, "7\n"), said
    release(daemon, "a")


def test_who_waits_for_a_value_has_what_is_left_of_the_time(daemon: Daemon, key: str) -> None:
    """So little that the restart alone takes longer."""
    with started(daemon, "-k", key, "data", "get", "v", "--timeout", "0.3") as waiting:
        until_it_waits_for_an_answer(waiting)
        restart(daemon, Daemon.kill, waiting)
        _, said = waiting.communicate(timeout=START_SECONDS)
    assert waiting.returncode == 124, said
    release(daemon, "a")


def test_a_watch_shows_what_was_stored_since_and_nothing_twice(
    daemon: Daemon, key: str, end: End
) -> None:
    with started(daemon, "data", "watch", "--json") as watching:
        revisions = _revisions(watching)
        assert next(revisions) == (key, 0)
        restart(daemon, end, watching)
        daemon.torcctl("-k", key, "data", "put", "v", "7")
        assert next(revisions) == (key, 1)
        # The watch began with the newest workflow, which is another one by now.
        daemon.submit(
            {"name": "another", "jobs": [{"command": "true"}], "user_data": [{"name": "v"}]}
        )
        restart(daemon, end, watching)
        daemon.torcctl("-k", key, "data", "put", "v", "8")
        assert next(revisions) == (key, 2)
    release(daemon, "a")


def _revisions(watching: "subprocess.Popen[str]") -> Iterator[tuple[str, int]]:
    assert watching.stdout is not None
    for line in watching.stdout:
        record = json.loads(line)
        yield record["workflow_key"], record["revision"]


def test_followed_events(daemon: Daemon, key: str, end: End) -> None:
    with started(daemon, "-k", key, "events", "-f", "--since", "1", "--json") as events:
        assert events.stdout is not None
        numbers = [json.loads(events.stdout.readline())["number"]]
        restart(daemon, end, events)
        release(daemon, "a")
        for line in events.stdout:
            event = json.loads(line)
            numbers.append(event["number"])
            if event["kind"] == "workflow_changed" and event["status"] == "completed":
                break
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_program_that_waits(daemon: Daemon, key: str, end: End) -> None:
    """All that the library can wait for, in threads of one client."""
    found: dict[str, Any] = {}
    watched = threading.Event()

    def watch(client: Client) -> None:
        for record in client.watch("v", workflow_key=key):
            watched.set()
            if record.revision:
                found["watch"] = record.revision
                return

    def fetch(client: Client) -> None:
        found["fetch"] = client.fetch("v", wait=True, workflow_key=key)

    def wait(client: Client) -> None:
        found["wait"] = client.wait(key).status

    with daemon.client() as client:
        threads = [threading.Thread(target=each, args=(client,)) for each in (watch, fetch, wait)]
        for thread in threads:
            thread.start()
        assert watched.wait(START_SECONDS)
        end(daemon)
        daemon.start()
        client.store("v", 7, workflow_key=key)
        release(daemon, "a")
        for thread in threads:
            thread.join(START_SECONDS)
    assert found == {"watch": 1, "fetch": 7, "wait": WorkflowStatus.COMPLETED}


@pytest.mark.parametrize(
    "words",
    [
        ("wait",),
        ("data", "get", "v", "--wait"),
        ("data", "watch"),
        ("events", "-f"),
        ("logs", "a", "-f"),
    ],
)
def test_who_finds_no_daemon_is_told_at_once(daemon: Daemon, words: tuple[str, ...]) -> None:
    daemon.stop()
    done = daemon.torcctl(*words)
    assert done.returncode == 3
    assert "no daemon" in done.stderr
    assert AWAY not in done.stderr
