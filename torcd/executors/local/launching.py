"""Find the living warden of a state directory, or start one."""

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import socket
import struct
import sys
from collections.abc import Mapping
from pathlib import Path

from torcd.disk import is_no_room
from torcd.errors import ExecutorError
from torcd.executors.warden import __file__ as _warden_package
from torcd.executors.warden.journal import Journal, UnreadableJournal
from torcd.executors.warden.processes import STATE_ID_BITS
from torcd.ownership import PRIVATE

_PROGRAM = str(Path(_warden_package).with_name("__main__.py").resolve())

_TO_DEFAULT = [signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD]
"""What Python changes. Signals the warden does not want it ignores itself."""


def read_boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def prepare(directory: Path, known: int | None = None, *, mode: int = PRIVATE) -> int:
    """Make the directory, for its owner alone, and return the state id that is kept in it: a random
    number, so that markers of attempts of another state directory are told apart. `known`: the one
    to keep in it, if there is none. `mode` PASSABLE: other users may pass through it."""
    directory.mkdir(mode=mode, parents=True, exist_ok=True)
    directory.chmod(mode)
    file = directory / "state_id"
    if not file.exists():
        _write(file, known or secrets.randbelow((1 << STATE_ID_BITS) - 1) + 1)
    return _read(file)


def warden_directory(directory: Path, number: int) -> Path:
    """Where the warden of that number has its files: the first one in the directory itself."""
    return directory / f"warden.{number}" if number else directory


def wardens(directory: Path) -> int:
    """How many the directory has had at a time, as far as can be told."""
    file = directory / "wardens"
    noted = max(_read(file), 1) if file.exists() else 1
    while warden_directory(directory, noted).is_dir():
        noted += 1  # its number was about to be written down
    return noted


def dismiss_idle(directory: Path, boot_id: str) -> None:
    """Forget wardens that have ended and have nothing to tell, but for the first one, if that can
    be done."""
    gone = directory / "dismissed"
    with contextlib.suppress(OSError):
        shutil.rmtree(gone, ignore_errors=True)
        for number in reversed(range(1, wardens(directory))):
            own = warden_directory(directory, number)
            if not own.is_dir() or is_forgotten(own) or warden_lives(own):
                return
            if not _is_blank(own, boot_id):
                return
            # In this order: who comes after us, whenever we end, finds it whole or not at all.
            _write(directory / "wardens", number)
            own.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)


def _is_blank(directory: Path, boot_id: str) -> bool:
    try:
        return not Journal(str(directory), boot_id, 0).read().entries
    except UnreadableJournal:
        return False


def add_warden(directory: Path, number: int, boot_id: str, state_id: int) -> None:
    """Make room for the warden of that number, which has never been. Raises OSError."""
    own = warden_directory(directory, number)
    if not own.is_dir():
        # It is there with a journal or not at all: one that is missing is one that was lost, and
        # then all may have been claimed.
        fresh = own.with_name(f"{own.name}.new")
        fresh.mkdir(mode=PRIVATE, exist_ok=True)
        remember(fresh, boot_id, state_id, {})
        fresh.rename(own)
    _write(directory / "wardens", number + 1)


def _write(file: Path, number: int) -> None:
    fresh = file.with_name(f"{file.name}.new")
    fresh.touch(mode=0o600)
    with fresh.open("w") as writing:
        writing.write(f"{number}\n")
        writing.flush()
        # Else a power cut could leave the name with nothing in it.
        os.fsync(writing.fileno())
    fresh.rename(file)


def _read(file: Path) -> int:
    try:
        return int(file.read_text())
    except ValueError as error:
        raise ExecutorError(f"{file} is damaged: it should hold one number") from error


def connect(directory: Path) -> socket.socket | None:
    """A connection to the directory's warden; None if there is none.

    That one can connect does not mean that a warden lives: a child that it was about to make a job
    of may still have its socket. So ask for its lock first.
    """
    if not warden_lives(directory):
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The way round: a socket's path has at most 108 bytes, the directory's may have more.
    fd = os.open(directory, os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection.connect(f"/proc/self/fd/{fd}/warden.sock")
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    finally:
        os.close(fd)
    _wake(connection)
    return connection


def _wake(connection: socket.socket) -> None:
    """Have the warden that listens go on, should somebody have stopped it (SIGSTOP)."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, _, _ = struct.unpack("3i", credentials)
    if pid > 0:  # 0: it is in another pid namespace
        with contextlib.suppress(OSError):  # it has gone, and the pid is anybody's
            os.kill(pid, signal.SIGCONT)


def warden_lives(directory: Path) -> bool:
    fd = os.open(directory / "warden.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def is_forgotten(directory: Path) -> bool:
    """Whether there is no journal of an earlier warden, or none that was begun."""
    try:
        with (directory / "warden.journal").open("rb") as file:
            return not file.readline().endswith(b"\n")
    except FileNotFoundError:
        return True


def is_lost(directory: Path) -> bool:
    """Nobody can tell what was claimed there: neither a journal nor a warden."""
    return is_forgotten(directory) and not (directory.is_dir() and warden_lives(directory))


def remember(
    directory: Path, boot_id: str, state_id: int, claims: Mapping[int, int | None]
) -> None:
    """Leave a journal to the next warden by which all of these were claimed, each in its lane if
    that is known. Raises OSError."""
    Journal(str(directory), boot_id, state_id).begin_anew(claims)


def launch(
    directory: Path, boot_id: str, state_id: int, *, leave_children: bool, heir: bool, cgroups: str
) -> tuple[int, socket.socket]:
    """Start a warden, in a session of its own; its pid and a connection to it. Raises OSError when
    there is no room for its files, and ExecutorError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    log = str(directory / "warden.log")
    settings = [
        str(directory),
        boot_id,
        str(state_id),
        str(int(leave_children)),
        str(int(heir)),
        cgroups,
    ]
    try:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-X", "utf8", _PROGRAM, *settings],
            {"LANG": "C.UTF-8", "PATH": os.defpath},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=_TO_DEFAULT,
        )
    except OSError as error:
        ours.close()
        if is_no_room(error):
            raise
        raise ExecutorError(f"cannot start the warden ({sys.executable}): {error}") from error
    finally:
        theirs.close()
    return pid, ours


def newest_attempt(directory: Path) -> int:
    """The highest key in what the last wardens left behind; 0 if they left nothing, or what nobody
    can read. Raises ExecutorError if one lives: jobs are running, or their ends are not told."""
    if not directory.exists():
        return 0
    of_each = [warden_directory(directory, number) for number in range(wardens(directory))]
    return max(_newest_attempt(own) for own in of_each if own.exists())


def _newest_attempt(directory: Path) -> int:
    if warden_lives(directory):
        raise ExecutorError(
            f"jobs are still running (their warden has {directory}/warden.lock); wait until they "
            "have ended, or end them, and try again"
        )
    try:
        return max(Journal(str(directory), "", 0).read().entries, default=0)
    except UnreadableJournal:
        return 0


def last_words(directory: Path) -> str:
    """The last line of the warden's log."""
    try:
        lines = (directory / "warden.log").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "it said nothing"
