"""Which processes belong to which attempt, and how to signal them without hitting another.

Identity. A pid alone says nothing: it may have been used again. Each attempt has a *marker*, a
number that the warden puts into its own soft limit RLIMIT_LOCKS before it spawns the attempt's
leader. The kernel enforces nothing by this limit any more, but hands it on through fork, exec,
setsid, a double fork and an emptied environment, and shows it in /proc/PID/limits. So a process
is an attempt's if it has the attempt's marker or descends from a process of it.

Where the hard limit was lowered below what markers need, there are none. Then a recorded pid is
told by its start time, and a tree by descent and session alone: a process that left both, and
whose parent has died, can no longer be attributed.

Signals go through pidfds, opened first and checked afterwards, so a pid that was used again in
between is never hit.
"""

import os
import resource
import signal

RLIMIT_LOCKS = 10
_KEY_BITS = 32
_KEY_MASK = (1 << _KEY_BITS) - 1
STATE_ID_BITS = 30
"""The rest of a marker; together they stay below 2**62, far from what means "unlimited"."""

_CHILDREN_BYTES = 4096
_MARKER_LINE = b"\nMax file locks"

_BORN = 19
"""Where the start time is in /proc/PID/stat, counted after the program's name."""


def low_bits(attempt_key: int) -> int:
    """What of a key is in its marker. Attempts that are alive together don't differ above it."""
    return attempt_key & _KEY_MASK


def marker(state_id: int, attempt_key: int) -> int:
    return state_id << _KEY_BITS | attempt_key & _KEY_MASK


def key_of(mark: int | None, state_id: int) -> int | None:
    """The low bits of the attempt's key, if the marker is one of this state directory."""
    if mark is None or mark >> _KEY_BITS != state_id:
        return None
    return mark & _KEY_MASK


def markers_possible() -> bool:
    return _HARD_LIMIT == resource.RLIM_INFINITY or _HARD_LIMIT >= 1 << (_KEY_BITS + STATE_ID_BITS)


_HARD_LIMIT = resource.getrlimit(RLIMIT_LOCKS)[1]


def wear_marker(mark: int) -> None:
    """What this process spawns from now on has the marker."""
    resource.setrlimit(RLIMIT_LOCKS, (mark, _HARD_LIMIT))


def take_marker_off() -> None:
    """What this process wears from now on is no attempt's marker, of any state directory."""
    resource.setrlimit(RLIMIT_LOCKS, (_HARD_LIMIT, _HARD_LIMIT))


def read_marker(pid: int) -> int | None:
    """The marker of a living or unreaped process; None: it has none, or is gone."""
    limits = _read(f"/proc/{pid}/limits")
    at = limits.find(_MARKER_LINE)
    if at < 0:
        return None
    soft = limits[at + len(_MARKER_LINE) :].split(None, 1)[0]
    return int(soft) if soft.isdigit() else None


class Process:
    """What /proc/PID/stat tells of one process."""

    __slots__ = ("born", "parent", "pid", "session", "state", "wait_status")

    def __init__(self, pid: int, stat: bytes) -> None:
        fields = stat[stat.rindex(b")") + 2 :].split()
        self.pid = pid
        self.state = fields[0]
        self.parent = int(fields[1])
        self.session = int(fields[3])
        self.born = int(fields[_BORN])
        """Clock ticks since the machine was started."""
        self.wait_status = int(fields[-1])
        """As `wait` would tell it; only of one that is over, and if `may_inspect`, otherwise 0."""

    @property
    def over(self) -> bool:
        """A zombie: it runs no more, and waits to be reaped."""
        return self.state in b"ZX"


def read_process(pid: int) -> Process | None:
    stat = _read(f"/proc/{pid}/stat")
    return Process(pid, stat) if stat else None


def may_be_of(pid: int, uid: int | None) -> bool:
    """Whether it may be an attempt's that was started as this user. A user's processes can wear any
    marker, so somebody else's could pretend. Root's could too, and may have begun as the user's
    (sudo). `uid` None: nobody but us and our own."""
    if uid is None:
        return True
    status = _read(f"/proc/{pid}/status")
    at = status.find(b"\nUid:")
    return at >= 0 and int(status[at + 5 :].split(None, 1)[0]) in (uid, 0)


def may_inspect(pid: int) -> bool:
    """Whether /proc tells us all of it: not if it runs as another user."""
    try:
        os.readlink(f"/proc/{pid}/ns/user")
    except OSError:
        return False
    return True


def all_processes() -> dict[int, Process]:
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            process = read_process(int(name))
            if process is not None:
                found[process.pid] = process
    return found


def runs(pid: int, program: str) -> bool:
    """Whether it has that path among its words. One that is over has none any more."""
    return os.fsencode(program) in _read(f"/proc/{pid}/cmdline").split(b"\0")


class Children:
    """The children of this process's main thread, which is the one that inherits; zombies too."""

    def __init__(self) -> None:
        self._parent = os.getpid()
        path = f"/proc/{self._parent}/task/{self._parent}/children"
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
            self._fd = -1

    def are(self, number: int) -> bool:
        """Whether there are so many."""
        if self._fd < 0:
            return len(self.pids()) == number
        # Each is followed by a space. That of a few is read in one piece.
        text = os.pread(self._fd, _CHILDREN_BYTES, 0)
        if len(text) >= _CHILDREN_BYTES // 2:
            return len(self.pids()) == number
        return text.count(b" ") == number

    def pids(self) -> list[int]:
        if self._fd < 0:
            found = all_processes().values()
            return [process.pid for process in found if process.parent == self._parent]
        text = b""
        while chunk := os.pread(self._fd, _CHILDREN_BYTES, len(text)):
            text += chunk
            if len(chunk) < _CHILDREN_BYTES // 2:
                break  # the kernel fills a page before it stops for another
        return [int(pid) for pid in text.split()]


def with_descendants(roots: set[int], processes: dict[int, Process]) -> set[int]:
    """The roots, and all that descends from them."""
    children: dict[int, list[int]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process.pid)
    found = set()
    todo = list(roots)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo.extend(children.get(pid, ()))
    return found


def send_signal(process: Process, number: int) -> bool:
    """Signal this very process. False: it is there, and may not be signalled by this user."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except OSError:
        return True
    try:
        now = read_process(process.pid)
        if now is not None and now.born == process.born:
            signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        return False
    finally:
        os.close(pidfd)
    return True


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 4096)
    except OSError:
        return b""
    finally:
        os.close(fd)
