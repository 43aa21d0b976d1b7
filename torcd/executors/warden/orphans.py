"""Attempts whose warden died: how they end, though they are not our children.

A pidfd tells when a process has ended, but `wait` tells its parent alone how. We learn it, in this
order,

* from the daemon, if it is the parent (it inherited what its dead warden had started): it reads
  the status, tells us, and reaps the process when we have it in the journal;
* from /proc/PID/stat, whose last field is the status of a process that has not been reaped yet;
* from the pidfd: Linux 6.15 and newer keep the status in it when the process has been reaped.

Otherwise nobody can tell.
"""

import fcntl
import os
import select
import struct

from torcd.executors.warden import processes
from torcd.executors.warden.ledger import Attempt

_PIDFD_GET_INFO = 0xC040FF0B
"""_IOWR(0xFF, 11, struct pidfd_info), in its first size of 64 bytes."""
_INFO = struct.Struct("=QQ11Ii")
"""mask, cgroup, pid, tgid, ppid, eight ids, exit_code (as of wait)."""
_INFO_EXIT = 1 << 3


class Orphans:
    """The running ones, and those that have ended and whose status is awaited."""

    def __init__(self, poller: select.epoll) -> None:
        self._poller = poller
        self._running: dict[int, Attempt] = {}
        """By pidfd."""
        self._untold: dict[int, Attempt] = {}
        """Ended; the daemon knows how, and will say. By pidfd."""

    def watch(self, attempt: Attempt) -> None:
        """Its `pidfd` is open."""
        self._running[attempt.pidfd] = attempt
        self._poller.register(attempt.pidfd, select.EPOLLIN)

    def __contains__(self, pidfd: int) -> bool:
        return pidfd in self._running

    def __bool__(self) -> bool:
        return bool(self._running or self._untold)

    def pids(self) -> list[tuple[int, int]]:
        """Key and pid of each."""
        return [(a.key, a.pid) for a in (*self._running.values(), *self._untold.values())]

    def ended(self, pidfd: int, daemon_pid: int) -> tuple[Attempt, int | None] | None:
        """Epoll says that this one has ended: its return code, or None if nobody can tell. Nothing
        at all: it will be known later."""
        attempt = self._running[pidfd]
        process = processes.read_process(attempt.pid)
        if process is None or process.born != attempt.born:
            return self._forget(attempt), kept_status(pidfd)
        if process.parent == daemon_pid:
            self._poller.unregister(pidfd)
            self._untold[pidfd] = self._running.pop(pidfd)
            return None
        if processes.may_inspect(attempt.pid):
            return self._forget(attempt), os.waitstatus_to_exitcode(process.wait_status)
        # It ran as another user: the status is not ours to read, but in the pidfd it will be.
        if not _is_askable(pidfd):
            return self._forget(attempt), None
        self._poller.modify(pidfd, 0)  # which still wakes us up when it has been reaped
        return None

    def told(self, attempt: Attempt) -> None:
        """The daemon has said how it ended."""
        self._forget(attempt)

    def daemon_left(self) -> None:
        """What it has not told it will not tell: ask the others."""
        for attempt in self._untold.values():
            self.watch(attempt)
        self._untold.clear()

    def _forget(self, attempt: Attempt) -> Attempt:
        self._running.pop(attempt.pidfd, None)
        self._untold.pop(attempt.pidfd, None)
        return attempt


def _ask(pidfd: int) -> tuple[int, int]:
    """What is known, as bits, and the status, if it is."""
    buffer = bytearray(_INFO.size)
    _INFO.pack_into(buffer, 0, _INFO_EXIT, *[0] * 13)
    fcntl.ioctl(pidfd, _PIDFD_GET_INFO, buffer)
    fields = _INFO.unpack(buffer)
    return fields[0], fields[-1]


def _is_askable(pidfd: int) -> bool:
    """Whether the kernel (6.13 and newer) tells of pidfds at all, be it no status."""
    try:
        _ask(pidfd)
    except OSError:
        return False
    return True


def kept_status(pidfd: int) -> int | None:
    """The return code of a process that was reaped; None where the kernel does not keep it."""
    try:
        known, status = _ask(pidfd)
    except OSError:
        return None
    return os.waitstatus_to_exitcode(status) if known & _INFO_EXIT else None
