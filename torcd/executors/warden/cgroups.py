"""A cgroup of its own for each attempt, where the daemon was given a place to make them.

The place is a directory of a cgroup2 file system, and in it is one directory of ours,
`torcd-STATE_ID`, with one for each attempt, named by its key, and one for the warden. All others
are somebody else's.

An attempt's leader is born inside: the warden moves itself into the attempt's cgroup, spawns, and
moves back. It is single-threaded, so nothing else is spawned in between, and a process that can
escape before it is moved there is none. What the leader starts stays inside, unless it moves itself
out, which a user's process may, and root's anyway; such a process is still told by its marker.

`cgroup.kill` ends all that is inside at once, also what forks all the time and what this user may
not signal. `cgroup.freeze` has it stand still, and `cpu.stat` has its CPU time to the microsecond.
Where the memory controller is there, `memory.peak` is the most that all of it took at a time, page
cache included, and `memory.events` counts whom the kernel has killed for want of memory. No limit
is set on it (docs/adr/0014).
"""

import os

_WARDEN = "warden"


class Cgroups:
    """Where attempts get theirs."""

    def __init__(self, parent: str, state_id: int) -> None:
        """Moves this process to a cgroup of its own in the place. Raises OSError if it can't."""
        self.directory = f"{parent}/torcd-{state_id:08x}"
        for path in (self.directory, f"{self.directory}/{_WARDEN}"):
            try:
                os.mkdir(path)
            except FileExistsError:
                pass
        os.close(os.open(f"{self.directory}/{_WARDEN}/cgroup.kill", os.O_WRONLY | os.O_CLOEXEC))
        home = f"{self.directory}/{_WARDEN}/cgroup.procs"
        self._home = os.open(home, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(self._home, b"0")
        except OSError:
            os.close(self._home)
            os.rmdir(f"{self.directory}/{_WARDEN}")
            os.rmdir(self.directory)
            raise
        for path in (parent, self.directory):
            # Refused where there is no such controller, or where processes live in the parent
            # itself, as a service's do: then memory is told as it is without cgroups.
            _write(f"{path}/cgroup.subtree_control", b"+memory")

    def enter(self, key: int) -> str:
        """Make the attempt's cgroup, and have what is spawned until `leave` be born in it; its
        path. Empty: it can't be had, there may be too many."""
        path = f"{self.directory}/{key}"
        try:
            os.mkdir(path)
        except FileExistsError:
            pass  # of a claim that was never carried out
        except OSError:
            return ""
        if not _write(f"{path}/cgroup.procs", b"0"):
            remove(path)
            return ""
        return path

    def leave(self) -> None:
        os.write(self._home, b"0")

    def close(self) -> None:
        """At the end, leave nothing of ours that is empty. This process is not in it after that,
        where the place takes it."""
        if _write(f"{os.path.dirname(self.directory)}/cgroup.procs", b"0"):
            for path in (f"{self.directory}/{_WARDEN}", self.directory):
                try:
                    os.rmdir(path)
                except OSError:
                    pass
        os.close(self._home)


def of_attempts(directory: str) -> dict[int, str]:
    """The cgroups of attempts that are there, by key."""
    try:
        names = os.listdir(directory)
    except OSError:
        return {}
    return {int(name): f"{directory}/{name}" for name in names if name.isdigit()}


def kill(path: str) -> None:
    """SIGKILL for all that is in it, and below it."""
    _write(f"{path}/cgroup.kill", b"1")


def freeze(path: str, yes: bool) -> None:
    """All of it stands still in a moment, or goes on."""
    _write(f"{path}/cgroup.freeze", b"1" if yes else b"0")


def pids(path: str) -> set[int]:
    """Of the processes in it, without those in cgroups below it."""
    return {int(pid) for pid in _read(f"{path}/cgroup.procs").split()}


def holds(path: str, pid: int) -> bool:
    """Whether the process is in it, or below it."""
    for line in _read(f"/proc/{pid}/cgroup").decode(errors="replace").splitlines():
        if line.startswith("0::"):
            return _tail(path) in f"{line[3:]}/"
    return False


def remove(path: str) -> bool:
    """With what jobs made below it. False: somebody lives in it."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError:
        if b"populated 0" not in _read(f"{path}/cgroup.events"):
            return False
        try:
            for directory, _, _ in os.walk(path, topdown=False):
                os.rmdir(directory)
        except OSError:
            return False
    return True


def usage(path: str) -> tuple[float | None, int | None, int]:
    """What its processes have taken: CPU seconds; the most memory at a time, in bytes; how many
    of them the kernel has killed because memory ran out. None: it does not tell."""
    used = _number(_read(f"{path}/cpu.stat"), b"usage_usec")
    peak = _read(f"{path}/memory.peak").strip()
    killed = _number(_read(f"{path}/memory.events"), b"oom_kill")
    return (
        None if used is None else used / 1_000_000,
        int(peak) if peak.isdigit() else None,
        killed or 0,
    )


def _tail(path: str) -> str:
    """What tells it from all others, wherever the file system is mounted."""
    return "/" + "/".join(path.split("/")[-2:]) + "/"


def _number(text: bytes, name: bytes) -> int | None:
    """From lines of names and numbers."""
    for line in text.splitlines():
        word, _, number = line.partition(b" ")
        if word == name:
            return int(number)
    return None


def _write(path: str, data: bytes) -> bool:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, data)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _read(path: str) -> bytes:
    """Nothing where there is no such file; a page of it, or all of cgroup.procs."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    text = b""
    try:
        while chunk := os.read(fd, 65536):
            text += chunk
    except OSError:
        pass
    finally:
        os.close(fd)
    return text
