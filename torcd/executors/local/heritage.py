"""Children that a dead warden left to us: how they ended, and that no zombie of them stays.

The daemon looks at each SIGCHLD. How an *orphan* ended (an attempt's leader that was left to us) is
told to the warden, and when the warden has it the orphan is reaped; see `children`. What else
attempts left is reaped at once.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import msgspec

from torcd.executors.base import Exited, Report
from torcd.executors.warden import processes
from torcd.model import AttemptKey


class Heritage:
    """Of the dead wardens of one supervisor."""

    def __init__(self) -> None:
        self._orphans: dict[AttemptKey, int] = {}
        """Pids of leaders, by the warden's account: some may not be ours."""

    def learn(self, orphans: list[tuple[int, int]]) -> None:
        """What a warden says of key and pid of each."""
        self._orphans = {AttemptKey(key): pid for key, pid in orphans}

    def ended(self) -> list[tuple[AttemptKey, int]]:
        """The orphans that have ended and wait to be reaped, with their return codes."""
        found = []
        for key, pid in self._orphans.items():
            try:
                info = end_of(pid)
            except ChildProcessError:
                continue  # not our child
            if info is not None:
                well = info.si_code == os.CLD_EXITED
                found.append((key, info.si_status if well else -info.si_status))
        return found

    def pids(self) -> Iterable[int]:
        """Of the orphans, as far as they are not settled."""
        return self._orphans.values()

    def settle(self, reports: list[Report]) -> list[Report]:
        """The warden has written down how attempts ended: those that are orphans of ours are
        reaped, and what they used is known and said."""
        if not self._orphans:
            return reports
        return [self._settled(one) if isinstance(one, Exited) else one for one in reports]

    def _settled(self, report: Exited) -> Exited:
        pid = self._orphans.pop(report.attempt_key, None)
        if pid is None:
            return report
        try:
            reaped, _, usage = os.wait4(pid, os.WNOHANG)
        except ChildProcessError:
            return report
        if reaped != pid:
            return report
        return msgspec.structs.replace(
            report,
            # Its cgroup knows better.
            cpu_seconds=(
                usage.ru_utime + usage.ru_stime
                if report.cpu_seconds is None
                else report.cpu_seconds
            ),
            peak_memory_bytes=(
                usage.ru_maxrss * 1024
                if report.peak_memory_bytes is None
                else report.peak_memory_bytes
            ),
        )


class Strays:
    """What else of attempts has been left to us."""

    def __init__(self, state_id: int) -> None:
        self._state_id = state_id
        self._children = processes.Children()

    def reap(self, others: set[int]) -> None:
        """Those that have ended. `others`: our children that somebody else waits for."""
        for pid in set(self._children.pids()) - others:
            if processes.key_of(processes.read_marker(pid), self._state_id) is not None:
                reap(pid)


def end_of(pid: int) -> "os.waitid_result | None":
    """How a child of ours ended, if it has, without reaping it."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)


def has_stopped(pid: int) -> bool:
    """Whether a child of ours has been stopped since this was last asked, and stands still."""
    try:
        return os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG) is not None
    except ChildProcessError:  # it is over, and can stop no more
        return False


def reap(pid: int) -> None:
    """A child of ours, if it has ended."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)


@contextmanager
def when_ended(pid: int, tell: Callable[[], None]) -> Iterator[None]:
    """Call `tell` when the process has ended, if it does within the block."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        tell()
        yield
        return
    loop = asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(pidfd)
        tell()

    loop.add_reader(pidfd, ended)
    try:
        yield
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
