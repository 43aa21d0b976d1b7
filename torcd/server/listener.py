"""The listening socket and who may come in."""

import asyncio
import errno
import grp
import os
import resource
import socket
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio

from torcd import errors
from torcd.accounts import Accounts
from torcd.protocol.framing import MAX_ENVELOPE_BYTES
from torcd.server.calls import Dispatcher
from torcd.server.complaints import Complaints
from torcd.server.memory import Memory
from torcd.server.readiness import Readiness
from torcd.server.session import Session
from torcd.server.trimming import Trimmer, block_kept

MAX_CONNECTIONS = 1024
"""More clients than a workstation has jobs and people; each costs a descriptor and some KiB."""

RESERVED_DESCRIPTORS = 128
"""Kept from connections: the database, the warden, adopted processes, and some air."""

BACKLOG = 4096
"""Connections the kernel keeps for us until we accept them; a client beyond gets EAGAIN. This is
what most kernels allow at most."""

ACCEPTED_AT_ONCE = 4
"""Connections taken in one turn of the loop. Who connects without end takes all the time there is
between two turns; and what is taken is closed only later, if there are too many: they must not take
the last descriptors."""

_KEEP_THE_NAME: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
"""asyncio would take it away, and it is not always ours."""

CROWD = 128
"""So many connections gone leave some MiB of memory that is worth giving back."""


class Door:
    """Accepts connections for as long as `open` lasts."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        max_value_bytes: int,
        log: Any,
        accounts: Accounts | None = None,
    ) -> None:
        """`accounts`: the users who may come in; None: its own."""
        self._dispatcher = dispatcher
        self._max_message_bytes = max_value_bytes + MAX_ENVELOPE_BYTES
        self._log = log
        self._accounts = accounts or Accounts()
        self._complaints = Complaints(log)
        self._trimmer = Trimmer()
        self._memory = Memory(self._trimmer.soon)
        self._sessions: dict[int, set[Session]] = {}
        """By the process at the other end."""
        self._of_user: dict[int, set[Session]] = {}
        self._connections = 0
        self._most_connections = 0
        """Since memory was last given back."""
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._max_connections = max(1, min(MAX_CONNECTIONS, descriptors - RESERVED_DESCRIPTORS))

    @asynccontextmanager
    async def open(self, listener: socket.socket) -> AsyncIterator[None]:
        """Serve; at the end of the block the door closes and all sessions with it."""
        with Readiness.open() as readiness, block_kept():
            async with anyio.create_task_group() as tasks:
                loop = asyncio.get_running_loop()
                server = await loop.create_unix_server(
                    lambda: Session(
                        self._dispatcher,
                        tasks,
                        self._max_message_bytes,
                        self._admit,
                        self._accounts,
                        self._forget,
                        readiness,
                        self._memory,
                        self._complaints,
                        self._log,
                    ),
                    sock=listener,
                    backlog=ACCEPTED_AT_ONCE,
                    **_KEEP_THE_NAME,
                )
                listener.listen(BACKLOG)  # asyncio has made the kernel's as short as its own
                try:
                    yield
                finally:
                    server.close()
                    tasks.cancel_scope.cancel()

    def _admit(self, session: Session, uid: int) -> str | None:
        """None, or why not."""
        if not self._accounts.is_shared and uid not in (os.getuid(), 0):
            self._complaints.warn("connection refused", uid=uid)
            return f"this is the daemon of user {os.getuid()}; you are user {uid}"
        if self._connections >= self._max_connections and not self._make_way(session):
            self._complaints.warn("too many connections", limit=self._max_connections)
            return f"too many connections: {self._max_connections} are open"
        self._sessions.setdefault(session.peer_pid, set()).add(session)
        self._of_user.setdefault(uid, set()).add(session)
        self._connections += 1
        self._most_connections = max(self._most_connections, self._connections)
        return None

    def _make_way(self, session: Session) -> bool:
        """When one process has more than half of the connections, another gets one of them; and so
        it is with users."""
        for whose, sessions, own in (
            ("process", self._sessions, session.peer_pid),
            ("user", self._of_user, session.peer_uid),
        ):
            hog = max(sessions, key=lambda key: len(sessions[key]))
            if hog != own and len(sessions[hog]) > self._max_connections // 2:
                victim = next(iter(sessions[hog]))
                self._forget(victim)
                victim.cut_off(f"its {whose} has most of the connections, and another needs one")
                return True
        return False

    def _forget(self, session: Session) -> None:
        own = self._sessions.get(session.peer_pid, set())
        if session in own:
            own.discard(session)
            self._connections -= 1
            if not own:
                del self._sessions[session.peer_pid]
            of_user = self._of_user[session.peer_uid]
            of_user.discard(session)
            if not of_user:
                del self._of_user[session.peer_uid]
            if self._most_connections - self._connections >= CROWD:
                self._most_connections = self._connections
                self._trimmer.soon()


def bind(path: str, group: str = "") -> socket.socket:
    """A listening socket at a path, for its owner only, or for the members of a group as well.
    Raises UserError.

    A socket that nobody answers on is what a killed daemon left: it is replaced. Anything else in
    the way is not ours to remove.
    """
    directory = os.path.dirname(path)
    try:
        os.makedirs(directory, mode=0o755 if group else 0o700, exist_ok=True)
        _check_directory(directory)
        _clear_the_way(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        mask = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(mask)
        if group:
            _open_to(group, path)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG or "too long" in str(error):
            problem = "the path is too long for a socket (about 100 bytes)"
        else:
            problem = error.strerror or str(error)
        raise errors.ConfigError(
            f"cannot listen on {path}: {problem}; give another with --socket", file=path
        ) from None
    listener.listen(BACKLOG)
    return listener


def _open_to(group: str, path: str) -> None:
    """Raises OSError."""
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError:
        return  # nobody is in it
    os.chown(path, -1, gid)
    os.chmod(path, 0o660)


def unlink(path: str, listener_inode: int) -> None:
    """Take the socket's name away, unless somebody else's socket has it by now."""
    with suppress(OSError):
        if os.lstat(path).st_ino == listener_inode:
            os.unlink(path)


def _check_directory(directory: str) -> None:
    facts = os.stat(directory)
    for owner in (facts.st_uid, os.lstat(directory).st_uid):  # of a symbolic link, too
        if owner not in (os.getuid(), 0):
            raise errors.ConfigError(
                f"cannot listen in {directory}: it belongs to user {owner}; name another place "
                "with --socket",
                file=directory,
            )
    if facts.st_mode & stat.S_IWOTH and not facts.st_mode & stat.S_ISVTX:
        raise errors.ConfigError(
            f"cannot listen in {directory}: everybody may write there; name another place with "
            "--socket",
            file=directory,
        )


def _clear_the_way(path: str) -> None:
    try:
        facts = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(facts.st_mode) or facts.st_uid != os.getuid():
        raise errors.ConfigError(
            f"cannot listen on {path}: something is there that is no socket of ours; "
            "remove it, or give another path with --socket",
            file=path,
        )
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise errors.ConfigError(f"cannot listen on {path}: a daemon answers there already", file=path)
