"""The calls that the standard library lacks."""

import ctypes
import os
import signal

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_SFD_CLOEXEC = os.O_CLOEXEC
_SFD_NONBLOCK = os.O_NONBLOCK

_SIGNAL_SET_WORDS = 1024 // (8 * ctypes.sizeof(ctypes.c_ulong))


def become_subreaper() -> None:
    """From now on, descendants of this process that lose their parent become its children."""
    _checked(_libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def become_opaque() -> None:
    """Until this process becomes another program nobody but root can look into it."""
    _checked(_libc().prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))


def take_child_signals() -> int:
    """A descriptor that becomes readable when a child has ended. From now on SIGCHLD is told there
    alone: a handler, and a byte in a pipe for whoever waits, take three calls more for each."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    wanted = (ctypes.c_ulong * _SIGNAL_SET_WORDS)()
    wanted[0] = 1 << (signal.SIGCHLD - 1)
    return _checked(_libc().signalfd(-1, wanted, _SFD_CLOEXEC | _SFD_NONBLOCK))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
