"""A real daemon for a test: real socket, real database, real warden, real jobs."""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.notices import Notices
from torcd.client import Client
from torcd.protocol import manager as m

START_SECONDS = 20
"""A busy machine may take its time; the test's own timeout is longer."""

BIN = Path(sys.executable).parent

TORCD = (sys.executable, "-m", "torcd")
GIVEN_A_SOCKET = 'exec 3<&"$0"; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=torcd exec "$@"'
"""For bash: what systemd does for a program whose socket it has. The descriptor is the first word,
and the program's own words follow."""


class Daemon:
    """A daemon of its own state directory. It can be killed and started again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        # The path of a socket can have some 100 bytes, and pytest's directories are deep.
        self._short = Path(tempfile.mkdtemp(prefix="torcd-"))
        self.socket = self._short / "s" / "torcd.sock"
        self.state_dir = directory / "state"
        self.config = directory / "torcd.toml"
        self.log = directory / "daemon.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.notices: Notices | None = None
        """Where it tells how it is; None: nobody listens once it serves."""
        self.listener: socket.socket | None = None
        """A listening socket that it is given, in place of one that it makes."""
        self.environment = {
            "HOME": str(directory),
            "PATH": f"{BIN}:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "LANG": "C.UTF-8",
            "TORC_SOCKET": str(self.socket),
            "TORCD_STATE_DIR": str(self.state_dir),
            "TORCD_CONFIG": str(self.config),
            "XDG_CONFIG_HOME": str(directory / "config"),
            "XDG_STATE_HOME": str(directory / "xdg-state"),
        }
        if path := os.environ.get("PYTHONPATH"):
            self.environment["PYTHONPATH"] = path  # else it would be another tree's daemon
        self.program: Sequence[str] = TORCD
        """What is started as the daemon."""
        self.config.touch()

    # Its life

    def spawn(self, **environment: str) -> subprocess.Popen[bytes]:
        """Return at once."""
        command = [*self.program, "run"]
        passed: tuple[int, ...] = ()
        if self.listener is not None:
            passed = (self.listener.fileno(),)
            command = ["bash", "-c", GIVEN_A_SOCKET, str(passed[0]), *command]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env={**self.environment, **environment},
                pass_fds=passed,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        return self.process

    def start(self) -> None:
        """Return when it serves."""
        with contextlib.ExitStack() as stack:
            notices = self.notices or stack.enter_context(Notices.open())
            ready = notices.socket
            ended = os.pidfd_open(self.spawn(NOTIFY_SOCKET=notices.address).pid)
            try:
                readable, _, _ = select.select([ready, ended], [], [], START_SECONDS)
            finally:
                os.close(ended)
        if ready not in readable:
            self.kill()
            raise AssertionError(f"the daemon did not start:\n{self.log.read_text()}")

    def kill(self) -> None:
        """As the kernel would: SIGKILL, at once."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self) -> int:
        """As systemd would: SIGTERM; returns the exit code."""
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(timeout=START_SECONDS)
        self.process = None
        return code

    def warden_pid(self) -> int | None:
        with self.client() as client:
            return client.call(m.GetStatus()).warden_pid

    def check(self) -> None:
        """A daemon that crashed fails the test, whatever else the test saw."""
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"the daemon ended by itself:\n{self.log.read_text()}")

    def close(self) -> None:
        """Leave nothing running: daemon, warden, jobs."""
        try:
            if self.process is not None and self.process.poll() is None:
                with contextlib.suppress(Exception), self.client() as client:
                    client.call(m.Stop(jobs="terminate"))
                try:
                    self.process.wait(timeout=START_SECONDS)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
        finally:
            for pid in processes_mentioning(str(self.state_dir)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            shutil.rmtree(self._short, ignore_errors=True)

    # How tests talk to it

    def client(self) -> Client:
        return Client(str(self.socket))

    def torcctl(
        self,
        *arguments: str,
        stdin: str | None = None,
        cwd: Path | None = None,
        timeout: float = 30,
    ) -> subprocess.CompletedProcess[str]:
        """torcctl as a user types it."""
        return subprocess.run(
            [str(BIN / "torcctl"), *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            cwd=cwd or self.directory,
            timeout=timeout,
            check=False,
        )

    def json(self, *arguments: str, **options: Any) -> Any:
        """What torcctl prints with -F json; it must exit with 0."""
        done = self.torcctl("-F", "json", *arguments, **options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def submit(self, spec: object, *arguments: str) -> str:
        """Submit a spec given as Python values; returns the workflow's key."""
        done = self.torcctl("submit", "-", *arguments, stdin=json.dumps(spec))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def run(self, spec: object, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`torcctl run` of a spec given as Python values."""
        return self.torcctl("run", "-", *arguments, stdin=json.dumps(spec))

    def jobs(self, key: str) -> dict[str, m.JobInfo]:
        with self.client() as client:
            return {job.name: job for job in client.call(m.ListJobs(workflow_key=key)).items}


@contextlib.contextmanager
def running_daemon(directory: Path, config: str = "") -> Iterator[Daemon]:
    daemon = Daemon(directory)
    daemon.config.write_text(config)
    try:
        daemon.start()
        yield daemon
        daemon.check()
    finally:
        daemon.close()


def command_line(pid: int) -> list[bytes]:
    """Empty of a process that is gone, or that has ended and that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        return []


def processes_mentioning(text: str) -> list[int]:
    """Processes whose command line or environment has a text in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                content = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if text.encode() in content:
                found.append(int(entry.name))
    return found
