"""The daemon gets SIGKILL at any moment: what it acknowledged to its clients is there."""

import json
import random
import subprocess
import threading
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from tests.daemon_process import BIN, Daemon
from torcd.client import Client
from torcd.errors import TorcError
from torcd.protocol import manager as m

T = TypeVar("T")

CLIENTS = 4

SPEC = msgspec.Raw(b'{"name": "w", "user_data": [{"name": "v"}], "jobs": [{"command": "true"}]}')


class Acknowledged:
    """What clients have been told, and when it has become enough."""

    def __init__(self) -> None:
        self.workflows: list[str] = []
        self.values: dict[str, list[int]] = {}
        """What each client has stored, in its own user_data, in order."""
        self._lock = threading.Lock()
        self._enough = threading.Event()
        self._left = 0

    def __len__(self) -> int:
        return len(self.workflows) + sum(map(len, self.values.values()))

    def expect(self, count: int) -> None:
        """So many more are enough."""
        self._left = count
        self._enough.clear()

    def wait_until_enough(self) -> None:
        assert self._enough.wait(60), "the clients got no answers"

    def one_more(self, noted: list[T], what: T) -> None:
        with self._lock:
            noted.append(what)
            self._left -= 1
            if self._left == 0:
                self._enough.set()


def store_and_submit(daemon: Daemon, key: str, told: Acknowledged, seed: int) -> None:
    """Until the daemon is gone."""
    dice = random.Random(seed)
    stored = told.values.setdefault(key, [])
    try:
        with Client(str(daemon.socket), restart_timeout_seconds=0) as client:
            while True:
                if dice.random() < 0.1:
                    submit = m.Submit(workflow=SPEC, directory="/")
                    workflow = client.call(submit).key
                    told.one_more(told.workflows, workflow)
                else:
                    number = len(stored)
                    client.store("v", number, workflow_key=key)
                    told.one_more(stored, number)
    except (TorcError, OSError):
        return


@pytest.mark.timeout(7200)
def test_acknowledged_stores_and_submissions_survive_sigkill(
    daemon: Daemon, pytestconfig: pytest.Config
) -> None:
    rounds = 300 if pytestconfig.getoption("--torture") else 5
    dice = random.Random(7)
    told = Acknowledged()
    for number in range(rounds):
        keys = [
            daemon.submit({"user_data": [{"name": "v"}], "jobs": [{"command": "true"}]})
            for _ in range(CLIENTS)
        ]
        told.expect(dice.randint(100, 600))
        clients = [
            threading.Thread(target=store_and_submit, args=(daemon, key, told, number))
            for key in keys
        ]
        for client in clients:
            client.start()
        told.wait_until_enough()
        daemon.kill()
        for client in clients:
            client.join(30)
        daemon.start()
        with daemon.client() as client:
            for key in keys:
                history = [r.data for r in client.history("v", workflow_key=key)]
                values = [json.loads(bytes(value)) for value in history]  # type: ignore[arg-type]
                # One more may be there: written, and not told any more.
                assert values[: len(told.values[key])] == told.values[key]
                assert len(values) <= len(told.values[key]) + 1
            there = {info.key for info in client.call(m.ListWorkflows()).items}
        assert there >= set(told.workflows)
    print(f"acknowledged: {len(told)}, kills: {rounds}")
    assert len(told) > 100 * rounds
    check_database(daemon)


def check_database(daemon: Daemon) -> None:
    done = subprocess.run(
        [str(BIN / "torcd"), "check-db"],
        env=daemon.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert str(Path(daemon.state_dir) / "torcd.db") in done.stdout
