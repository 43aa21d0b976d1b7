"""A short time slice for the threads of the daemon.

Where jobs keep all CPUs busy, a thread that wakes up may wait until one of them has had its slice:
some milliseconds, longer than a short job takes, and it is this thread that has the next ones
started. Since Linux 6.12 a thread may ask for a shorter slice of its own (`sched_setattr`), which
takes no right: it gets no more of a CPU than before, but in smaller pieces, and so sooner. Kernels
before that take no notice.
"""

import ctypes
import os
import platform
import struct

SLICE_NANOSECONDS = 100_000
"""The shortest there is."""

_RESET_ON_FORK = 1
"""What the thread starts has the usual slice again: jobs would only be interrupted more often."""

_ATTRIBUTES = struct.Struct("=IIQiIQQQ")
"""`struct sched_attr`: its size, policy, flags, nice, priority, runtime, deadline, period."""

_SET, _GET = {
    "x86_64": (314, 315),
    "aarch64": (274, 275),
    "riscv64": (274, 275),
    "loongarch64": (274, 275),
}.get(platform.machine(), (None, None))
"""The numbers of the system calls."""


def ask_for_a_short_one() -> None:
    """For the thread that calls. If it cannot be had, all is as it was."""
    if _SET is None:
        return
    libc = ctypes.CDLL(None)
    found = ctypes.create_string_buffer(_ATTRIBUTES.size)
    if libc.syscall(_GET, 0, found, _ATTRIBUTES.size, 0) != 0:
        return
    size, policy, flags, nice, priority, _, deadline, period = _ATTRIBUTES.unpack(found.raw)
    # Somebody has seen to it that this is no ordinary program; or what it starts would lose a
    # priority that it was given.
    if policy != os.SCHED_OTHER or nice < 0:
        return
    wanted = _ATTRIBUTES.pack(
        size, policy, flags | _RESET_ON_FORK, nice, priority, SLICE_NANOSECONDS, deadline, period
    )
    libc.syscall(_SET, 0, wanted, 0)
