"""Having memory that was freed given back to the system, where the C library is glibc.

Left alone it keeps what was freed for later: a daemon that once served a crowd, or some large
values, would be of that size for ever. Other C libraries have neither function, and need none.
"""

import ctypes
from typing import Any

LARGE_BLOCK_BYTES = 1 << 20
_M_MMAP_THRESHOLD = -3
"""From <malloc.h>."""


def keep_no_large_blocks() -> None:
    """Large blocks (messages, values) are given back as soon as they are free. glibc would take the
    first that is freed as a sign that more will come."""
    _call("mallopt", _M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)


def trim() -> None:
    """Give back what is free between small blocks. Takes some milliseconds."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    function: Any = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)
