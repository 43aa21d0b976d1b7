"""Starting a daemon of the user's own, and waiting for one to be gone.

Nothing here sleeps. A daemon says that it serves by a datagram `READY=1` on the socket named in
NOTIFY_SOCKET (systemd's protocol), which torcctl makes for it; that it is gone is told by its
pidfd. Two that start at once are told apart by a lock file, and in the last resort by the daemon's
own lock: the one that is too late ends, and what then counts is whether somebody answers.
"""

import contextlib
import fcntl
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from torcctl.follow import deadline
from torcctl.render.text import clean_lines
from torcd import disk, locations
from torcd.errors import TimedOut, TorcError

START_SECONDS = 10.0
"""How long a daemon may take until it serves."""

_LOG_TAIL_BYTES = 4 * 1024


class CannotStart(TorcError):
    """The daemon did not come up. Facts: log."""

    code = "CannotStart"


class Started(msgspec.Struct, frozen=True):
    """A daemon that serves. `pid` is None when it was there before, or another start was first."""

    socket: str
    pid: int | None


def answers(path: str) -> bool:
    """Whether somebody listens on the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(path)
        except OSError:
            return False
        return True


def own_socket(option: str | None) -> str:
    """Where a daemon of the user's own is to listen: as told, never at the system's place."""
    return option or locations.user_socket()


def start(path: str) -> Started:
    """Start a daemon that listens there, and return once it serves. Raises CannotStart."""
    if answers(path):
        return Started(path, None)
    began = time.monotonic()
    state_dir = Path(locations.state_dir())
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as e:
        raise CannotStart(
            f"cannot make the state directory {state_dir}: {e.strerror}; name another one in "
            "TORCD_STATE_DIR",
            log="",
        ) from None
    try:
        with _only_one(state_dir):
            if answers(path):
                return Started(path, None)
            return _start(path, state_dir / "torcd.log", began + START_SECONDS)
    except OSError as e:
        raise CannotStart(f"cannot start torcd: {e}", log="") from None


@contextlib.contextmanager
def _only_one(state_dir: Path) -> Iterator[None]:
    """Wait until no other torcctl starts a daemon with this state."""
    lock = os.open(state_dir / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with deadline(START_SECONDS, "another torcctl that starts the daemon"):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    except TimedOut as e:
        raise CannotStart(e.message, log="") from None
    finally:
        os.close(lock)


def _start(path: str, log: Path, until: float) -> Started:
    # Append: what earlier daemons wrote stays. The position tells what this one writes.
    log_fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        log_from = os.lseek(log_fd, 0, os.SEEK_END)
        with _notify_socket() as (notify, notify_path):
            process = subprocess.Popen(
                [sys.executable, "-m", "torcd", "run", "--socket", os.path.abspath(path)],
                cwd="/",
                env=_environment(notify_path),
                stdin=subprocess.DEVNULL,
                stdout=log_fd,
                stderr=log_fd,
                start_new_session=True,
            )
            ready = _wait_until_ready(process, notify, until)
    finally:
        os.close(log_fd)
    # It stays behind on purpose; Python would warn of a child nobody has waited for.
    _left_behind.append(process)
    if ready:
        return Started(path, process.pid)
    code = process.poll()
    if code is not None and answers(path):
        return Started(path, None)
    said = _written_since(log, log_from) or "it wrote nothing"
    if code is None:
        what = f"torcd (pid {process.pid}) does not serve after {START_SECONDS:g} s and goes on"
    elif code < 0:
        what = f"torcd was killed by signal {-code}"
    else:
        what = f"torcd ended with exit code {code}"
    problem = f"{what}; {log} says:\n{said}"
    if not disk.has_room(str(log.parent), _LOG_TAIL_BYTES):
        # Then the log may not say so.
        problem = f"{disk.no_space(str(log), 'the log').message}\n{problem}"
    raise CannotStart(problem, log=str(log))


_left_behind: list[subprocess.Popen[bytes]] = []


@contextlib.contextmanager
def _notify_socket() -> Iterator[tuple[socket.socket, str]]:
    with contextlib.ExitStack() as stack:
        try:
            bound = _bound_below(os.environ.get("XDG_RUNTIME_DIR") or None, stack)
        except OSError:
            # It is not there, or its path is too long. The daemon, whose own socket is to be in
            # it, says so much better.
            bound = _bound_below(None, stack)
        yield bound


def _bound_below(parent: str | None, stack: contextlib.ExitStack) -> tuple[socket.socket, str]:
    """A socket in a private directory below `parent`, or where temporary files are."""
    directory = tempfile.mkdtemp(prefix="torcctl-", dir=parent)
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    path = os.path.join(directory, "notify")
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    stack.enter_context(notify).bind(path)
    return notify, path


def _environment(notify_path: str) -> dict[str, str]:
    environment = {**os.environ, "NOTIFY_SOCKET": notify_path}
    # The daemon stands in /, and means the same places.
    for name in ("HOME", "TORCD_STATE_DIR", "TORCD_CONFIG"):
        if environment.get(name):
            environment[name] = os.path.abspath(environment[name])
    # In a source tree the package is found through the directory one stands in.
    root = Path(locations.__file__).absolute().parent.parent
    if root.name not in ("site-packages", "dist-packages"):
        rest = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{root}{os.pathsep}{rest}" if rest else str(root)
    return environment


def _wait_until_ready(
    process: "subprocess.Popen[bytes]", notify: socket.socket, until: float
) -> bool:
    """True once it says READY=1; False when it has ended, or the time is over."""
    pidfd = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(notify, select.POLLIN)
        poll.register(pidfd, select.POLLIN)
        while (left := until - time.monotonic()) > 0:
            ready = dict(poll.poll(left * 1000))
            if notify.fileno() in ready and b"READY=1" in notify.recv(4096).split(b"\n"):
                return True
            if pidfd in ready:
                process.wait()
                return False
    finally:
        os.close(pidfd)
    return False


def _written_since(log: Path, start: int) -> str:
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start, size - _LOG_TAIL_BYTES))
        return clean_lines(file.read().decode(errors="replace").rstrip("\n"))


class Watched:
    """A process to wait for, held by its pidfd from the start, so that it cannot be mistaken for
    a later one with the same number."""

    def __init__(self, pid: int) -> None:
        try:
            self._pidfd: int | None = os.pidfd_open(pid)
        except OSError:
            # In another pid namespace, for example; then its socket is all there is to see.
            self._pidfd = None

    def wait_until_gone(self) -> None:
        if self._pidfd is not None:
            select.select([self._pidfd], [], [])
            os.close(self._pidfd)
            self._pidfd = None
