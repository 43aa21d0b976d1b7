"""The other wardens of a state directory.

The first warden has the directory itself, the others have `warden.1` and so on in it. All wear
markers of the same state id, and one may even descend from an attempt: a job can start a daemon,
and that one wardens. None of them is an attempt's process. They are told by their
locks, which nothing that they spawn inherits; not by their program, for what a warden has spawned
looks like itself until it has become another one.
"""

import fcntl
import os
import struct

_LOCK = struct.Struct("hhqqi0q")
"""struct flock: type, whence, start, length, pid."""


class Others:
    def __init__(self, directory: str) -> None:
        """`directory`: of the warden that asks."""
        self._own = directory
        above, _, name = directory.rpartition("/")
        self._first = above if name.startswith("warden.") else directory

    def pids(self) -> set[int]:
        """Of those that live."""
        places = [self._first]
        while os.path.isdir(another := f"{self._first}/warden.{len(places)}"):
            places.append(another)
        # Never our own: to close a file lets go of all locks that this process has on it.
        return {pid for place in places if place != self._own and (pid := _holder(place))}


def _holder(place: str) -> int:
    """The pid of who has the lock of that warden; 0: nobody."""
    try:
        fd = os.open(f"{place}/warden.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        wanted = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _LOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, wanted))
    except OSError:
        return 0
    finally:
        os.close(fd)
    return 0 if kind == fcntl.F_UNLCK else max(0, pid)
