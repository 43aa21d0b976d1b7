"""A block of memory that is used again.

Where a virtual machine has yet to get memory itself, to touch it for the first time takes up to ten
times as long as elsewhere. So a daemon keeps a block for a short time, for the next large message
or answer. Whoever is to let go of it says so first (`keep`); elsewhere none is kept.
"""

import mmap
import sys
import threading
from collections.abc import Callable

from torcd.block import block, cut

_lock = threading.Lock()
_kept: mmap.mmap | None = None
_is_used = False
"""Since `rest` was asked last."""
_tell: Callable[[], object] | None = None

_NOBODYS = 2
"""References: ours, and that of who counts them."""


def used_block(size_bytes: int) -> mmap.mmap:
    """The one that is kept, if nobody else refers to it, be it by a view; otherwise a new one,
    which is kept if it is the largest. So it may be larger, and something may be in it."""
    global _kept, _is_used
    with _lock:
        if _tell is None:
            return block(size_bytes)
        _is_used = True
        if _kept is not None and len(_kept) >= size_bytes and sys.getrefcount(_kept) == _NOBODYS:
            _kept.seek(0)
            cut(_kept, size_bytes)  # who holds it holds no more than he says
            return _kept
        made = block(size_bytes)
        if _kept is None:
            _tell()
        if _kept is None or len(_kept) < size_bytes:
            _kept = made
        return made


def keep(tell: Callable[[], object]) -> None:
    """From now on one is. `tell` is called, by any thread, when there is one: then `rest` is to be
    asked now and then until it is true."""
    global _tell
    with _lock:
        _let_go()
        _tell = tell


def rest() -> bool:
    """Whether none was used since this was asked last. Then none is kept."""
    global _is_used
    with _lock:
        was_used, _is_used = _is_used, False
        if not was_used:
            _let_go()
        return not was_used


def keep_none() -> None:
    """From now on."""
    global _tell
    with _lock:
        _let_go()
        _tell = None


def _let_go() -> None:
    """It is given back as soon as nobody refers to it."""
    global _kept
    _kept = None
