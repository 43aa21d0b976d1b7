"""What earlier releases wrote and said is still read and understood.

`make record` keeps a database and the messages of each release, in a directory of its name.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.daemon_process import Daemon
from tests.releases.record import RELEASES, Exchange, ask, places
from torcd import errors
from torcd.client import conversation
from torcd.model import JobStatus, Reason, WorkflowStatus
from torcd.protocol import manager as m
from torcd.protocol.envelope import Call, decode_answer
from torcd.protocol.registry import INTERFACES
from torcd.store.keeping import formers
from torcd.store.schema import newest_version

CHANGELOG = RELEASES.parents[1] / "CHANGELOG.md"
METHODS = {f"{i.name}.{method.name}": method for i in INTERFACES for method in i.methods}
ALL = sorted(path.parent.name for path in RELEASES.glob("*/torcd.db"))

RUN_AGAIN = [
    name for name in ALL if b"Manager.Restart" in (RELEASES / name / "messages.jsonl").read_bytes()
]
"""Those that could."""

OF_THE_DISK = {"exists", "size_bytes", "modified_at"}
"""What is told of a file that was there then, and is not now."""


@pytest.fixture(params=ALL)
def release(request: pytest.FixtureRequest) -> Path:
    return RELEASES / str(request.param)


def exchanges(release: Path) -> Iterator[tuple[Exchange, Call]]:
    for line in (release / "messages.jsonl").read_bytes().splitlines():
        exchange = msgspec.json.decode(line, type=Exchange)
        yield exchange, msgspec.json.decode(exchange.call, type=Call)


@pytest.fixture
def upgraded(release: Path, tmp_path: Path) -> Iterator[Daemon]:
    """A daemon of today with the database of then; it does not run yet."""
    daemon = Daemon(tmp_path)
    daemon.state_dir.mkdir(mode=0o700)
    shutil.copyfile(release / "torcd.db", daemon.state_dir / "torcd.db")
    try:
        yield daemon
        daemon.check()
    finally:
        daemon.close()


def test_every_release_has_been_recorded() -> None:
    """`make record`, before it is tagged."""
    assert ALL
    released = re.findall(r"^## \[(\d[^\]]*)\]", CHANGELOG.read_text(), re.MULTILINE)
    assert set(released) <= set(ALL)


def test_its_calls_are_still_understood(release: Path) -> None:
    seen = set()
    for _, call in exchanges(release):
        msgspec.json.decode(call.parameters, type=METHODS[call.method].parameters)
        seen.add(call.method)
    assert len(seen) > 20


def test_its_answers_are_still_understood(release: Path) -> None:
    refused = set()
    for exchange, call in exchanges(release):
        parameters = msgspec.json.decode(call.parameters, type=METHODS[call.method].parameters)
        try:
            conversation.decode(exchange.answer.encode(), parameters)
        except errors.InvalidMessage:
            raise
        except errors.TorcError as error:
            refused.add(type(error))
    assert refused
    assert errors.TorcError not in refused, "an error that is not known any more"


def torcd(daemon: Daemon, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*daemon.program, *words],
        env=daemon.environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_its_database_is_brought_up_to_date_and_sound(release: Path, upgraded: Daemon) -> None:
    path = upgraded.state_dir / "torcd.db"
    done = torcd(upgraded, "migrate")
    assert done.returncode == 0, done.stderr
    checked = torcd(upgraded, "check-db")
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
    assert f"(version {newest_version()};" in checked.stdout
    kept = [former.path.read_bytes() for former in formers(path)]
    was_older = f"is now at version {newest_version()}" in done.stdout
    assert len(kept) == was_older


def test_what_was_asked_of_it_is_answered_the_same_now(release: Path, upgraded: Daemon) -> None:
    """There may be more in an answer than there was, and nothing less."""
    upgraded.start()
    compared = 0
    for exchange, call in exchanges(release):
        if exchange.part == "look":
            answer = ask(upgraded, _here(exchange.call, upgraded).encode() + b"\0")
            then = decode_answer(_here(exchange.answer, upgraded).encode())
            now = decode_answer(answer)
            assert now.error == then.error, call.method
            assert _lost(_tree(then.parameters), _tree(now.parameters)) == [], call.method
            compared += 1
    assert compared > 10


@pytest.mark.parametrize("release", RUN_AGAIN, indirect=True)
def test_what_its_jobs_saw_is_compared_as_it_was_then(release: Path, upgraded: Daemon) -> None:
    upgraded.start()
    with upgraded.client() as client:
        key = {info.name: info.key for info in client.call(m.ListWorkflows()).items}["again"]
        reply = client.call(m.Restart(workflow_key=key, dry_run=True))
        told = {item.name: (item.outlook, item.reason) for item in reply.items}
        assert told["fail"] == ("up_to_date", "nothing that it needs has changed")
        assert told["double"][0] == "will_run"  # what it made then is not here
        assert {"show", "new"} < told.keys()
        kept = client.call(m.ListResults(workflow_key=key, all_runs=True)).items
        assert {result.run_id for result in kept} == {1, 2, 3, 4}


def _here(text: str, daemon: Daemon) -> str:
    for name, path in places(daemon).items():
        text = text.replace(name, path)
    return text


def _tree(text: bytes) -> Any:
    # Numbers as text: those of users may be larger than Python's.
    return json.loads(bytes(text), parse_int=str, parse_float=str)


def _lost(then: Any, now: Any, where: str = "") -> list[str]:
    """Where `now` does not say what `then` said."""
    if isinstance(then, dict) and isinstance(now, dict):
        return [
            problem
            for key, value in then.items()
            if key not in OF_THE_DISK
            for problem in (
                _lost(value, now[key], f"{where}.{key}") if key in now else [f"{where}.{key}: gone"]
            )
        ]
    if isinstance(then, list) and isinstance(now, list) and len(then) <= len(now):
        return [
            problem
            for n, value in enumerate(then)
            for problem in _lost(value, now[n], f"{where}[{n}]")
        ]
    return [] if then == now else [f"{where}: {then!r} is now {now!r}"]


def test_what_ran_is_lost_what_waited_waits_and_work_goes_on(
    release: Path, upgraded: Daemon
) -> None:
    upgraded.start()
    with upgraded.client() as client:
        found = {info.name: info for info in client.call(m.ListWorkflows()).items}
        held = client.wait(found["held"].key, timeout=30)
        assert held.status is WorkflowStatus.FAILED
        (job,) = client.jobs(workflow_key=held.key)
        assert (job.status, job.reason) == (JobStatus.FAILED, Reason.LOST)
        waiting = found["waiting"].key
        assert found["waiting"].status is WorkflowStatus.PAUSED
        client.call(m.Resume(workflow_key=waiting))
        client.store("v", 1, workflow_key=waiting)
        assert client.wait(waiting, timeout=30).status is WorkflowStatus.COMPLETED
        statuses = {job.name: job.status for job in client.jobs(workflow_key=waiting)}
        assert statuses == {
            "a": JobStatus.COMPLETED,
            "b": JobStatus.COMPLETED,
            "c": JobStatus.DISABLED,
        }
    assert upgraded.run({"jobs": [{"command": "true"}]}).returncode == 0
