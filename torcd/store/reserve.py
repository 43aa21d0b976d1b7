"""Room for the few things that must be written though the disk is full.

A job that has filled the disk must still be stopped, and that it was told to stop has to be on disk
first. So some MiB are kept: not in a file of their own, which whoever fills the disk would take the
moment it is removed, but as blocks that belong to the write-ahead log already, beyond its end
(`FALLOC_FL_KEEP_SIZE`), and to the index of that log. Nobody else can have them.

Every ordinary write is preceded by `keep`, which has the log's blocks reach as far beyond its end
as the reserve and that write need, and fails where they cannot: so it is refused before it takes
from the reserve. What is urgent goes without.

SQLite cuts the log back now and then (`journal_size_limit`), which frees the blocks; that is seen
by its size. It does so only when it begins it anew, so only then it is looked at. A write that
failed halfway leaves the log longer, and its end where it was. Where the file system cannot reserve
blocks there is no reserve, and all else is as it is.
"""

import ctypes
import errno
import mmap
import os
import struct
from pathlib import Path

from torcd.store.durable import beside

RESERVE_BYTES = 4 << 20
"""For some hundred requests, or the jobs of one workflow of about 10 000."""

STEP_BYTES = 1 << 20
"""By how much more than is needed the blocks grow at a time: not at every write."""

_FALLOC_FL_KEEP_SIZE = 1
_CANNOT = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV})

_INDEX_PAGE_BYTES = 32 << 10
_FRAMES_PER_INDEX_PAGE = 4_062
_SMALLEST_FRAME_BYTES = 512 + 24
_INDEX_HEADER = struct.Struct("=14xHI12xI60xI")
"""Where it has `szPage`, `mxFrame`, the first of `aSalt`, which is another one each time the log is
begun anew, and `nBackfill`; in the order of bytes of the machine (see
https://sqlite.org/walformat.html)."""

_LOG_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_LARGEST_PAGE = 1
"""So it has a size of 65 536, for which there is no room."""

_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)


class Reserve:
    """Of one database that is open. Used by the thread that writes to it."""

    def __init__(self, path: Path) -> None:
        """Once the log is there. Raises OSError."""
        self._log = os.open(beside(path, "-wal"), os.O_RDWR | os.O_CLOEXEC)
        try:
            # Closing any descriptor of it ends SQLite's locks on it: so only once all is closed.
            self._index = os.open(beside(path, "-shm"), os.O_RDWR | os.O_CLOEXEC)
            try:
                self._header = mmap.mmap(self._index, _INDEX_HEADER.size, prot=mmap.PROT_READ)
            except BaseException:
                os.close(self._index)
                raise
        except BaseException:
            os.close(self._log)
            raise
        self._is_possible = True
        self._reaches = 0
        """How far into the log its blocks are known to reach."""
        self._end = os.fstat(self._log).st_size
        self._salt: int | None = None
        """Of the log as it was when it was looked at last."""
        self._frame_bytes = 0
        """A page in that log, with its header."""
        self._moved = 0
        self.was_moved = True
        """Whether anything of the log came into the database between the last write and the one
        before it, or by the last one itself."""
        self.log_pages = 0
        """How many pages were in the log after the last write; 0, too, if the next one was to begin
        the log again."""

    def keep(self, size_bytes: int) -> None:
        """Before something of about that size is written. Raises OSError where the disk has no
        room for it beside the reserve."""
        if not self._is_possible:
            return
        needed = self._end + size_bytes + RESERVE_BYTES
        if needed <= self._reaches:
            return
        reach = needed + STEP_BYTES
        frames = reach // _SMALLEST_FRAME_BYTES
        index_bytes = (frames // _FRAMES_PER_INDEX_PAGE + 1) * _INDEX_PAGE_BYTES
        if _allocate(self._index, index_bytes) and _allocate(self._log, reach):
            self._reaches = reach
        else:
            self._is_possible = False

    def written(self) -> None:
        """After something was: where the log ends now."""
        page_bytes, pages, salt, moved = _INDEX_HEADER.unpack(self._header)
        self.was_moved = moved != self._moved
        self._moved = moved
        self.log_pages = 0 if pages == moved else pages
        if salt != self._salt:
            self._salt = salt
            self._frame_bytes = _FRAME_HEADER_BYTES
            self._frame_bytes += 1 << 16 if page_bytes == _LARGEST_PAGE else page_bytes
            end = os.fstat(self._log).st_size
            if end < self._end:
                self._reaches = end
            self._end = end
            return
        end = _LOG_HEADER_BYTES + pages * self._frame_bytes
        if end > self._end:
            self._end = end

    def close(self) -> None:
        """When nobody has the database open any more."""
        self._header.close()
        os.close(self._log)
        os.close(self._index)


def _allocate(descriptor: int, size_bytes: int) -> bool:
    """Have so much of the file in blocks of its own; False: this file system cannot do that."""
    while _fallocate(descriptor, _FALLOC_FL_KEEP_SIZE, 0, size_bytes) != 0:
        number = ctypes.get_errno()
        if number in _CANNOT:
            return False
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
    return True
