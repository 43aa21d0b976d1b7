"""Who may do what: other users nothing at all, a job what it declared, while it runs."""

import contextlib
import json
import socket
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.daemon_process import Daemon, running_daemon
from tests.second_user import NOBODY, as_nobody, needs_root
from tests.wire.test_service import ask
from torcd.protocol import user_data as u
from torcd.protocol.registry import INTERFACES, full_name
from torcd.server.complaints import MAX_LINES

SPEC = {
    "user_data": [{"name": "mine"}, {"name": "given", "data": 1}, {"name": "foreign", "data": 2}],
    "jobs": [
        {
            "name": "job",
            "command": "echo $TORC_TOKEN > token.new; mv token.new token; sleep 1000",
            "output_user_data": ["mine"],
            "input_user_data": ["given"],
        },
        {"name": "other", "command": "sleep 1000", "output_user_data": ["foreign"]},
    ],
}


def talked(path: str, method: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(path)
        with contextlib.suppress(OSError):  # it may have been closed already
            sock.sendall(b'{"method":"%s"}\0' % method.encode())
        return sock.recv(65536)


@needs_root
def test_another_user_cannot_reach_the_socket(daemon: Daemon) -> None:
    path = str(daemon.socket)
    assert as_nobody(lambda: talked(path, "io.torcd.Manager.GetStatus")) == b"PermissionError"


@needs_root
def test_another_user_who_reaches_it_all_the_same_is_refused_whatever_they_ask(
    daemon: Daemon,
) -> None:
    for path in (daemon.socket.parent.parent, daemon.socket.parent):
        path.chmod(0o755)
    daemon.socket.chmod(0o666)
    methods = [full_name(method.parameters) for i in INTERFACES for method in i.methods]
    for method in methods:
        answer = as_nobody(partial(talked, str(daemon.socket), method))
        assert b"UserData.Denied" in answer
        assert b"you are user %d" % NOBODY in answer
        assert answer.count(b"\0") == 1
    assert daemon.log.read_text().count("connection refused") == MAX_LINES < len(methods)
    assert ask(daemon, "io.torcd.Manager.ListWorkflows")["parameters"] == {"items": []}


def token_of(daemon: Daemon, directory: Path) -> tuple[str, str]:
    """Of a job that runs, and its workflow."""
    directory.mkdir()
    key = daemon.torcctl("submit", "-", stdin=_json(SPEC), cwd=directory).stdout.strip()
    while not (directory / "token").exists():
        assert daemon.jobs(key)["job"].return_code is None
    return (directory / "token").read_text().strip(), key


def _json(spec: object) -> str:
    return json.dumps(spec)


def error_of(answer: Any) -> str:
    return str(answer.get("error", "none")).rpartition(".")[2]


def test_a_token_opens_what_its_job_declared_in_every_method_and_nothing_else(
    daemon: Daemon, tmp_path: Path
) -> None:
    token, key = token_of(daemon, tmp_path / "one")
    data = {record["name"]: record["key"] for record in items(ask(daemon, full_name(u.List)))}
    for named in ("name", "key"):

        def on(method: str, name: str, named: str = named, **parameters: object) -> Any:
            what = name if named == "name" else data[name]
            return ask(
                daemon, f"io.torcd.UserData.{method}", token=token, **{named: what}, **parameters
            )

        assert error_of(on("Store", "mine", data=1)) == "none"
        assert error_of(on("Store", "given", data=1)) == "NotDeclared"
        assert error_of(on("Store", "foreign", data=1)) == "NotDeclared"
        for method in ("Fetch", "History"):
            assert error_of(on(method, "mine")) == "none"
            assert error_of(on(method, "given")) == "none"
            assert error_of(on(method, "foreign")) == "NotDeclared"
    assert {r["name"] for r in items(ask(daemon, full_name(u.List), token=token))} == {
        "mine",
        "given",
    }
    jobs = {name: job.key for name, job in daemon.jobs(key).items()}
    others = ask(daemon, full_name(u.List), token=token, job_key=jobs["other"])
    assert error_of(others) == "Denied"
    foreign = ask(daemon, full_name(u.Fetch), workflow_key=key, name="foreign")
    assert foreign["parameters"]["record"]["data"] == 2


def items(answer: Any) -> Any:
    return answer["parameters"]["items"]


def test_a_token_is_for_one_workflow(daemon: Daemon, tmp_path: Path) -> None:
    token, key = token_of(daemon, tmp_path / "one")
    _, other_key = token_of(daemon, tmp_path / "two")
    assert error_of(ask(daemon, full_name(u.Fetch), token=token, name="given")) == "none"
    for method, more in (("Fetch", {}), ("Store", {"data": 5}), ("History", {})):
        name = f"io.torcd.UserData.{method}"
        own = ask(daemon, name, token=token, workflow_key=key, name="mine", **more)
        assert error_of(own) in ("none", "NoValue")
        denied = ask(daemon, name, token=token, workflow_key=other_key, name="mine", **more)
        assert error_of(denied) == "Denied"
    assert error_of(ask(daemon, full_name(u.List), token=token, workflow_key=other_key)) == "Denied"


@pytest.mark.parametrize("end", ["cancel", "delete"])
def test_a_token_is_void_when_its_attempt_has_ended(
    daemon: Daemon, tmp_path: Path, end: str
) -> None:
    token, key = token_of(daemon, tmp_path / "one")
    if end == "cancel":
        assert daemon.torcctl("-k", key, "cancel", "--wait").returncode == 0
    else:
        assert daemon.torcctl("-k", key, "delete", "--force").returncode == 0
    for method, more in (("Fetch", {}), ("Store", {"data": 5}), ("History", {})):
        answer = ask(daemon, f"io.torcd.UserData.{method}", token=token, name="mine", **more)
        assert error_of(answer) == "Denied"
        assert token not in str(answer)
    assert error_of(ask(daemon, full_name(u.List), token=token)) == "Denied"


def test_a_token_outlives_the_daemon_and_is_none_for_another(
    daemon: Daemon, tmp_path: Path
) -> None:
    token, _ = token_of(daemon, tmp_path / "one")
    daemon.kill()
    daemon.start()
    assert error_of(ask(daemon, full_name(u.Fetch), token=token, name="given")) == "none"
    (tmp_path / "two").mkdir()
    with running_daemon(tmp_path / "two") as other:
        token_of(other, tmp_path / "three")
        assert error_of(ask(other, full_name(u.Fetch), token=token, name="given")) == "Denied"
