"""A block of memory that is used again.

Where a virtual machine has yet to get memory itself, to touch it for the first time takes up to ten
times as long as elsewhere. So the daemon keeps a block for a short time, for the next large message
or answer.
"""

import mmap
import sys
import threading

from torcd.block import block

_lock = threading.Lock()
_kept: mmap.mmap | None = None

_NOBODYS = 2
"""References: ours, and that of who counts them."""


def used_block(size_bytes: int) -> mmap.mmap:
    """The one that is kept, if nobody else refers to it, be it by a view; otherwise a new one,
    which is kept if it is the largest. So it may be larger, and something may be in it."""
    global _kept
    with _lock:
        if _kept is not None and len(_kept) >= size_bytes and sys.getrefcount(_kept) == _NOBODYS:
            _kept.seek(0)
            return _kept
        made = block(size_bytes)
        if _kept is None or len(_kept) < size_bytes:
            _kept = made
        return made


def let_go() -> None:
    """Keep none: it is given back as soon as nobody refers to it."""
    global _kept
    _kept = None
