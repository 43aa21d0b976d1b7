"""A machine of its own with a real systemd, over an overlay of this one's root (see init.sh)."""

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from torcd.executors.warden import cgroups

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SYSTEMD = "/lib/systemd/systemd"
BOOT_SECONDS = 40
PATIENCE_SECONDS = 50


class Machine:
    def __init__(self, pid: int) -> None:
        self._pid = pid

    def popen(self, *words: str, environment: Mapping[str, str] = {}) -> "subprocess.Popen[str]":
        """As root, in its root directory, with torcctl in the PATH."""
        path = f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin"
        variables = {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8", **environment}
        return subprocess.Popen(
            [
                *("nsenter", f"--target={self._pid}", "--mount", "--pid", "--cgroup", "--uts"),
                *("--ipc", "--root", "env", "-i", "--chdir=/root"),
                *(f"{name}={value}" for name, value in variables.items()),
                *words,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )

    def types(
        self, *words: str, stdin: str = "", code: int = 0, environment: Mapping[str, str] = {}
    ) -> "subprocess.CompletedProcess[str]":
        """Fails the test if the exit code is another."""
        with self.popen(*words, environment=environment) as process:
            out, err = process.communicate(stdin, timeout=PATIENCE_SECONDS)
        assert process.returncode == code, f"{' '.join(words)}\n{out}\n{err}"
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def shell(self, script: str) -> str:
        return self.types("bash", "-euc", script).stdout.strip()

    def property(self, unit: str, name: str) -> str:
        return self.types("systemctl", "show", unit, f"--property={name}", "--value").stdout.strip()


@contextlib.contextmanager
def booted() -> Iterator[Machine]:
    """Skips where none can be booted, and says why."""
    cgroup2 = _what_it_takes()
    with contextlib.ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="torcd-vm-"))
        stack.callback(shutil.rmtree, directory)
        for name in ("disk", "share"):
            (directory / name).mkdir()
        cgroup = Path(cgroup2, f"torcd-vm-{os.getpid()}")
        try:
            cgroup.mkdir()
        except OSError as error:
            pytest.skip(f"no systemd can be booted here: {error}")
        stack.callback(_remove, str(cgroup))
        ready = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        ready.bind(str(directory / "share" / "notify"))
        ready.settimeout(BOOT_SECONDS)
        console = stack.enter_context((directory / "console").open("w+b"))
        process = subprocess.Popen(
            [
                *("bash", "-c", 'echo $$ > "$0"/cgroup.procs; exec "$@"', str(cgroup)),
                *("unshare", "--pid", "--mount", "--cgroup", "--uts", "--ipc", "--fork"),
                *("--kill-child", "bash", str(Path(__file__).with_name("init.sh"))),
                str(directory),
                *_elsewhere(),
            ],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
        )
        stack.callback(process.wait)
        stack.callback(process.send_signal, signal.SIGKILL)  # and PID 1 with it, and all with that
        yield Machine(_wait_until_up(process, ready, directory / "console"))


def _what_it_takes() -> str:
    """Where cgroup2 is mounted. Skips."""
    if os.geteuid() != 0:
        pytest.skip("only root can boot a systemd in namespaces of its own")
    if BIN.is_relative_to("/tmp"):
        pytest.skip(f"{BIN} is below /tmp, and the booted system has a /tmp of its own")
    for program in (SYSTEMD, "systemctl", "unshare", "nsenter"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed, so no systemd can be booted")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return where
    pytest.skip("no cgroup2 file system is mounted, so no systemd can be booted")


def _elsewhere() -> list[str]:
    """What the tests need and an overlay of / does not show: it is on other file systems."""
    needed = {str(ROOT), sys.prefix, sys.base_prefix}
    return sorted(path for path in needed if os.stat(path).st_dev != os.stat("/").st_dev)


def _wait_until_up(process: "subprocess.Popen[bytes]", ready: socket.socket, console: Path) -> int:
    """PID 1's pid, as seen from here. Skips if the kernel lets nobody do this."""
    ended = os.pidfd_open(process.pid)
    try:
        while True:
            readable, _, _ = select.select([ready, ended], [], [], BOOT_SECONDS)
            if ready in readable:
                if b"READY=1" in ready.recv(4096).split(b"\n"):
                    break
            elif ended in readable:
                pytest.skip(f"no systemd can be booted here: {_last_line(console)}")
            else:
                raise AssertionError(f"systemd does not come up:\n{console.read_text()}")
    finally:
        os.close(ended)
    pid = process.pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _last_line(console: Path) -> str:
    return (console.read_text(errors="replace").splitlines() or ["it said nothing"])[-1]


def _remove(cgroup: str) -> None:
    cgroups.kill(cgroup)
    for directory, _, _ in os.walk(cgroup):
        for pid in cgroups.pids(directory):
            with contextlib.suppress(ProcessLookupError):
                _wait_for(pid)
    cgroups.remove(cgroup)


def _wait_for(pid: int) -> None:
    pidfd = os.pidfd_open(pid)
    try:
        select.select([pidfd], [], [], PATIENCE_SECONDS)
    finally:
        os.close(pidfd)
