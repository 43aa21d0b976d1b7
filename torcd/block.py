"""Memory for something large, by itself.

Most of what it takes to put 10 MiB somewhere is memory that is touched for the first time: the
system gives it in pages of 4 KiB, one after the other. Where it can, it gives these blocks in pages
of 2 MiB.
"""

import contextlib
import mmap


def block(size_bytes: int) -> mmap.mmap:
    """Only what is touched of it is memory. It is given back when nobody refers to it."""
    made = mmap.mmap(-1, size_bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a system without large pages
        made.madvise(mmap.MADV_HUGEPAGE)
    return made
