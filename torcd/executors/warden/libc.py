"""The calls that the standard library lacks."""

import ctypes
import os
import signal

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_SFD_CLOEXEC = os.O_CLOEXEC
_SFD_NONBLOCK = os.O_NONBLOCK

_POSIX_SPAWN_SETSIGDEF = 0x04
_POSIX_SPAWN_SETSIGMASK = 0x08
_POSIX_SPAWN_SETSID = 0x80
_ATTRIBUTES_BYTES = 1024
_ACTIONS_BYTES = 256
"""Room for what C libraries keep of these: some 340 and 80."""

_LIBC = ctypes.CDLL(None, use_errno=True)

_SIGNAL_SET_WORDS = 1024 // (8 * ctypes.sizeof(ctypes.c_ulong))


_SPAWN = _LIBC.posix_spawn
_SPAWN.argtypes = [
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
]
_Actions = ctypes.c_char * _ACTIONS_BYTES
_PID = ctypes.c_int()
_PID_POINTER = ctypes.byref(_PID)
_ADD_OPEN = _LIBC.posix_spawn_file_actions_addopen
_ADD_OPEN.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint]
_ADD_DUP2 = _LIBC.posix_spawn_file_actions_adddup2
_ADD_DUP2.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]


def become_subreaper() -> None:
    """From now on, descendants of this process that lose their parent become its children."""
    _checked(_LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def become_opaque() -> None:
    """Until this process becomes another program nobody but root can look into it."""
    _checked(_LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))


def take_child_signals() -> int:
    """A descriptor that becomes readable when a child has ended. From now on SIGCHLD is told there
    alone: a handler, and a byte in a pipe for whoever waits, take three calls more for each."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    wanted = _signal_set([signal.SIGCHLD])
    return _checked(_LIBC.signalfd(-1, wanted, _SFD_CLOEXEC | _SFD_NONBLOCK))


class SpawnAttributes:
    """A session of its own, no blocked signals, and some that do what they do by default."""

    def __init__(self, to_default: list[signal.Signals]) -> None:
        self.pointer = ctypes.create_string_buffer(_ATTRIBUTES_BYTES)
        flags = _POSIX_SPAWN_SETSID | _POSIX_SPAWN_SETSIGMASK | _POSIX_SPAWN_SETSIGDEF
        _none_wrong(_LIBC.posix_spawnattr_init(self.pointer))
        _none_wrong(_LIBC.posix_spawnattr_setflags(self.pointer, ctypes.c_short(flags)))
        _none_wrong(_LIBC.posix_spawnattr_setsigmask(self.pointer, _signal_set([])))
        _none_wrong(_LIBC.posix_spawnattr_setsigdefault(self.pointer, _signal_set(to_default)))


class FileActions:
    """What a process does with descriptors before it becomes its program."""

    __slots__ = ("pointer",)

    def __init__(self) -> None:
        self.pointer = _Actions()
        _none_wrong(_LIBC.posix_spawn_file_actions_init(self.pointer))

    def open(self, fd: int, path: str, flags: int, mode: int) -> None:
        if "\0" in path:
            raise ValueError("embedded null byte")
        name = path.encode("utf-8", "surrogateescape")
        _none_wrong(_ADD_OPEN(self.pointer, fd, name, flags, mode))

    def dup2(self, fd: int, new: int) -> None:
        _none_wrong(_ADD_DUP2(self.pointer, fd, new))

    def __del__(self) -> None:
        _LIBC.posix_spawn_file_actions_destroy(self.pointer)


def posix_spawn(
    program: bytes,
    actions: FileActions,
    attributes: SpawnAttributes,
    argv: bytes,
    envp: bytes,
) -> int:
    """The pid; 0: there is no process. The last two are pointers as C has them, the last one 0."""
    if _SPAWN(_PID_POINTER, program, actions.pointer, attributes.pointer, argv, envp):
        return 0
    return _PID.value


def address_of(data: bytes) -> int:
    """Where it lies, for as long as it is kept."""
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0


def _signal_set(numbers: list[signal.Signals]) -> "ctypes.Array[ctypes.c_ulong]":
    signals = (ctypes.c_ulong * _SIGNAL_SET_WORDS)()
    for number in numbers:
        signals[0] |= 1 << (number - 1)
    return signals


def _none_wrong(error: int) -> None:
    """Of the calls that return an error number."""
    if error:
        raise OSError(error, os.strerror(error))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
