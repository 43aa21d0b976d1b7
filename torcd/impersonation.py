"""Touch files as another user: what they may not, the daemon of root may not for them either.

Paths in a spec are whatever its author wrote, and the directories of a user's logs and values are
that user's, who may have put links into them. So the daemon looks, reads and writes there with the
user's file system identity. Linux keeps that for each thread; the C library's `setgroups` would
change all of them, so the kernel is asked directly.
"""

import ctypes
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from torcd.accounts import Account
from torcd.errors import ConfigError

P = ParamSpec("P")
T = TypeVar("T")

_SETGROUPS = {
    "x86_64": 116,
    "aarch64": 159,
    "riscv64": 159,
    "loongarch64": 159,
    "ppc64le": 81,
    "s390x": 81,
    "armv7l": 206,
    "i686": 206,
}.get(platform.machine())
"""The number of the system call."""

_libc = ctypes.CDLL(None, use_errno=True)


def check_possible() -> None:
    """Raises ConfigError where torcd does not know how."""
    if _SETGROUPS is None:
        raise ConfigError(
            f"torcd does not know how to be several users on this machine ({platform.machine()}); "
            'set users_group = "" in the configuration to serve root alone',
            key="users_group",
        )


@contextmanager
def acting_as(account: Account | None) -> Iterator[None]:
    """Within the block this thread has the user's rights to files, and what it makes is theirs.
    Nothing may be awaited in it, and no process or thread started. None: as we are."""
    if account is None:
        yield
        return
    before = os.getgroups()
    try:
        _become(account.groups, account.gid, account.uid)
        yield
    finally:
        try:
            _become(tuple(before), os.getegid(), os.geteuid())
        except BaseException:  # noqa: BLE001
            os.abort()  # nobody knows whose rights this thread has


def as_user(
    account: Account | None, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """What a function returns that only touches files."""
    with acting_as(account):
        return function(*args, **kwargs)


def _become(groups: tuple[int, ...], gid: int, uid: int) -> None:
    # Root's rights to files go and come with the user id: it goes last, and comes first.
    if uid == os.geteuid():
        _set("setfsuid", uid)
    numbers = (ctypes.c_uint32 * len(groups))(*groups)
    if _libc.syscall(_SETGROUPS, len(groups), numbers) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setgroups: {os.strerror(number)}")
    _set("setfsgid", gid)
    _set("setfsuid", uid)


def _set(name: str, number: int) -> None:
    """setfsuid(2) and setfsgid(2) tell of no error: they return what it was before."""
    call = _libc[name]
    call(ctypes.c_uint32(number))
    if ctypes.c_uint32(call(ctypes.c_uint32(0xFFFFFFFF))).value != number:
        raise PermissionError(f"{name} {number} was refused")
