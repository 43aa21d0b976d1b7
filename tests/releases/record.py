"""Keep a database and the messages of this version of torcd, for the tests of all that come later.

    python -m tests.releases.record [NAME]

NAME is that of the directory beside this file; without it, the version. What is there stays: a
release is recorded once.
"""

import contextlib
import os
import shutil
import socket
import sqlite3
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

import torcd
from tests.daemon_process import Daemon
from tests.releases import story
from torcd.client import conversation
from torcd.errors import TorcError
from torcd.protocol import manager as m
from torcd.protocol.envelope import Call
from torcd.protocol.framing import Splitter
from torcd.protocol.registry import INTERFACES
from torcd.protocol.request import Reply, Request
from torcd.store import back_up

RELEASES = Path(__file__).parent
BOOT = "of the machine that recorded it"

PATIENCE_SECONDS = 30

Part = Literal["change", "look", "daemon"]


class Exchange(msgspec.Struct, frozen=True):
    """A call and its first answer, as they were on the wire."""

    part: Part
    call: str
    answer: str


def ask(daemon: Daemon, call: bytes) -> bytes:
    """The first answer to a message, on a connection of its own: those that stream would go on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(daemon.socket))
        connection.settimeout(PATIENCE_SECONDS)
        connection.sendall(call)
        splitter = Splitter()
        while data := connection.recv(1 << 16):
            for message in splitter.feed(data):
                return bytes(message)
    raise AssertionError("the daemon hung up")


def places(daemon: Daemon) -> dict[str, str]:
    """What stands in messages for what lies elsewhere in each test."""
    return {"{state}": str(daemon.state_dir), "{socket}": str(daemon.socket)}


def record(daemon: Daemon, target: Path) -> None:
    """`daemon` serves, and has done nothing yet; in the end it does not."""
    directory = str(daemon.directory)

    def over(key: str) -> None:
        with daemon.client() as client:
            client.wait(key, timeout=PATIENCE_SECONDS)

    kept: list[Exchange] = []

    def part(name: Part) -> story.Asks:
        return partial(_ask, daemon, name, kept)

    told = story.change(part("change"), over, directory)
    story.look(part("look"), told)
    os.mkfifo(daemon.directory / story.GATE)
    with daemon.client() as client:
        held = client.submit(
            story.HELD, directory=directory, environment=story.ENVIRONMENT, max_parallel_jobs=2
        )
        for reply in client.stream(m.FollowWorkflow(workflow_key=held.key)):
            if reply.workflow.jobs["running"]:
                break
    copy = daemon.directory / "torcd.db"
    back_up(daemon.state_dir / "torcd.db", copy)
    with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("UPDATE boot SET boot_id = ?", (BOOT,))
    story.look_at_the_daemon(part("daemon"))
    daemon.stop()
    asked = {msgspec.json.decode(exchange.call, type=Call).method for exchange in kept}
    missing = {f"{i.name}.{method.name}" for i in INTERFACES for method in i.methods} - asked
    assert not missing, f"the story has nothing of {', '.join(sorted(missing))}"
    lines = [msgspec.json.encode(exchange) + b"\n" for exchange in kept]
    target.mkdir()
    (target / "messages.jsonl").write_bytes(b"".join(lines))
    shutil.copyfile(copy, target / "torcd.db")


def _ask(
    daemon: Daemon, part: Part, kept: list[Exchange], request: Request[Reply], *, more: bool = False
) -> Reply | None:
    call = conversation.encode(request, more=more)
    answer = ask(daemon, call)
    kept.append(Exchange(part, _shown(daemon, call.removesuffix(b"\0")), _shown(daemon, answer)))
    try:
        return conversation.decode(answer, request)[0]
    except TorcError:
        return None


def _shown(daemon: Daemon, message: bytes) -> str:
    text = message.decode()
    for name, path in places(daemon).items():
        text = text.replace(path, name)
    return text


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else torcd.__version__
    target = RELEASES / name
    if target.exists():
        sys.exit(f"{target} is there: a release is recorded once")
    with tempfile.TemporaryDirectory(prefix="torcd-release-") as directory:
        daemon = Daemon(Path(directory))
        try:
            daemon.start()
            record(daemon, target)
        finally:
            daemon.close()
    print(f"{target}: {len((target / 'messages.jsonl').read_text().splitlines())} messages")


if __name__ == "__main__":
    main()
