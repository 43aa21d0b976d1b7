"""A daemon of root's that serves the members of a group, and its users, who are real ones."""

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tests.daemon_process import Daemon, running_daemon
from tests.second_user import GROUP, NOBODY, as_user, group_of, others, stranger
from torcd.client import Client
from torcd.protocol import manager as m
from torcd.protocol.request import Request

R = TypeVar("R", bound=msgspec.Struct)

PATH = "/usr/local/bin:/usr/bin:/bin"
PATIENCE_SECONDS = 30.0


class Somebody:
    """A user with a directory of their own. What they ask the daemon, they ask as themselves."""

    def __init__(self, uid: int, daemon: Daemon) -> None:
        self.uid = uid
        self.daemon = daemon
        self.home = daemon.directory / f"home-{uid}"
        self.home.mkdir(exist_ok=True)
        os.chown(self.home, uid, -1)
        self.home.chmod(0o700)

    def does(self, function: Callable[[], object]) -> Any:
        """What it returns, as JSON can carry it; {"error": …} if it raises."""

        def told() -> bytes:
            try:
                return msgspec.json.encode({"result": function()})
            except Exception as error:  # noqa: BLE001 - it is the answer
                code = getattr(error, "code", type(error).__name__)
                return msgspec.json.encode({"error": code, "message": str(error)})

        answer = json.loads(as_user(self.uid, told))
        return answer.get("result", answer)

    def asks(self, parameters: Request[R]) -> Any:
        def asked() -> object:
            with Client(str(self.daemon.socket)) as client:
                return client.call(parameters)

        return self.does(asked)

    def submits(self, spec: object, **more: Any) -> str:
        """The workflow's key."""
        answer = self.asks(self.submission(spec, **more))
        assert "key" in answer, answer
        return str(answer["key"])

    def submission(self, spec: object, **more: Any) -> m.Submit:
        return m.Submit(
            workflow=msgspec.Raw(msgspec.json.encode(spec)),
            directory=str(self.home),
            environment={"PATH": PATH, "HOME": str(self.home)},
            **more,
        )

    def runs(self, spec: object, **more: Any) -> dict[str, Any]:
        """A workflow to its end; its jobs by name."""
        return self.waits(self.submits(spec, **more))

    def waits(self, key: str) -> dict[str, Any]:
        with self.daemon.client() as client:
            client.wait(key, timeout=PATIENCE_SECONDS)
        return self.jobs(key)

    def jobs(self, key: str) -> dict[str, Any]:
        jobs = self.daemon.jobs(key)
        return {name: msgspec.to_builtins(job) for name, job in jobs.items()}

    def log(self, key: str, job: str, *, stream: str = "stdout") -> Path:
        with self.daemon.client() as client:
            results = client.call(m.ListResults(workflow_key=key, jobs=[job])).items
        return Path(getattr(results[-1], stream))

    def writes(self, name: str, text: str = "") -> Path:
        path = self.home / name
        path.write_text(text)
        os.chown(path, self.uid, -1)
        return path


class World:
    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        # Whoever is let in must get there.
        for path in (daemon.directory, daemon.socket.parent.parent):
            path.chmod(0o755)
        self.alice = Somebody(NOBODY, daemon)
        self.bob = Somebody(others(1)[0], daemon)

    def stranger(self) -> Somebody:
        """Who is in the admin group and in no other of ours, or in none where that is empty."""
        return Somebody(stranger(), self.daemon)


@contextlib.contextmanager
def shared_daemon(*, with_admins: bool = False, more: str = "") -> Iterator[World]:
    others(1)
    admins = group_of(stranger()) if with_admins else ""
    config = f'users_group = "{GROUP}"\nadmin_group = "{admins}"\n{more}'
    with (
        _in_groups(0, 1, 2),
        # pytest's directories are for their owner alone.
        tempfile.TemporaryDirectory(prefix="torcd-") as directory,
        running_daemon(Path(directory), config) as daemon,
    ):
        yield World(daemon)


@contextlib.contextmanager
def _in_groups(*gids: int) -> Iterator[None]:
    """What is started meanwhile is in groups of root's that are not its users'."""
    before = os.getgroups()
    os.setgroups(gids)
    try:
        yield
    finally:
        os.setgroups(before)
