"""Memory for something large, by itself.

Most of what it takes to put 10 MiB somewhere is memory that is touched for the first time: the
system gives it in pages of 4 KiB, one after the other. Where it can, it gives these blocks in pages
of 2 MiB.
"""

import contextlib
import mmap

LARGE_PAGE_BYTES = 2 << 20


def block(size_bytes: int) -> mmap.mmap:
    """Only what is touched of it is memory. It is given back when nobody refers to it."""
    made = mmap.mmap(-1, size_bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a system without large pages
        made.madvise(mmap.MADV_HUGEPAGE)
    return made


def cut(made: mmap.mmap, size_bytes: int) -> None:
    """Have what is beyond so much of it be no memory, until it is touched."""
    begin = -(-size_bytes // LARGE_PAGE_BYTES) * LARGE_PAGE_BYTES
    if begin < len(made):
        made.madvise(mmap.MADV_DONTNEED, begin, len(made) - begin)
