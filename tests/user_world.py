"""A user at a workstation, who has no daemon yet: `torcctl run` starts one.

Their home is a scratch directory. When they leave, the daemon is stopped as they would stop it, and
it, its warden and all jobs are seen to end; one that has crashed fails the test.
"""

import json
import os
import select
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.daemon_process import BIN, processes_mentioning

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "configs" / "examples"
PATIENCE_SECONDS = 50
"""For what takes seconds on a machine that has nothing else to do."""


class User:
    def __init__(self, home: Path, runtime: Path) -> None:
        self.home = home
        self.directory = home / "work"
        """Where they are when they type something."""
        self.socket = runtime / "torcd" / "torcd.sock"
        self.environment = {
            "PATH": f"{BIN}:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(runtime),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CONFIG_HOME": str(home / "config"),
        }
        self.directory.mkdir(parents=True)

    def types(
        self, words: Sequence[str], *, code: int = 0, cwd: Path | None = None, stdin: str = ""
    ) -> str:
        """What a command prints. Fails the test if its exit code is another."""
        done = subprocess.run(
            words,
            cwd=cwd or self.directory,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        if done.returncode != code:
            pytest.fail(
                f"{' '.join(words)} ended with {done.returncode}, not {code}\n"
                f"{done.stdout}\n{done.stderr}"
            )
        return done.stdout

    def torcctl(self, *words: str, code: int = 0, cwd: Path | None = None, stdin: str = "") -> str:
        return self.types(["torcctl", *words], code=code, cwd=cwd, stdin=stdin)

    def asks(self, *words: str) -> Any:
        """What torcctl answers as JSON."""
        return json.loads(self.torcctl("--json", *words))

    def values(self) -> dict[str, Any]:
        """The values of the newest workflow, by name."""
        items = self.asks("data", "list")["items"]
        return {item["name"]: item["data"] for item in items if "data" in item}

    def job_states(self) -> dict[str, str]:
        """Of the newest workflow."""
        return {job["name"]: job["status"] for job in self.asks("jobs")["items"]}

    def stops_the_daemon(self) -> None:
        """If there is one. A socket without a daemon is one that has crashed."""
        if not self.socket.exists():
            return
        self.torcctl("daemon", "stop", "--jobs", "terminate")
        for pid in processes_mentioning(str(self.home)):
            wait_until_gone(pid)


@contextmanager
def a_user(home: Path) -> Iterator[User]:
    # A socket's path has at most 107 bytes, and pytest's directories are deep.
    runtime = Path(tempfile.mkdtemp(prefix="torcd-"))
    try:
        user = User(home, runtime)
        yield user
        user.stops_the_daemon()
    finally:
        for pid in processes_mentioning(str(home)):
            subprocess.run(["kill", "-9", str(pid)], check=False)
        shutil.rmtree(runtime)


def wait_until_gone(pid: int) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    gone, _, _ = select.select([handle], [], [], PATIENCE_SECONDS)
    os.close(handle)
    assert gone, f"process {pid} did not end"
