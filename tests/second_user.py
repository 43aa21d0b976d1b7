"""Other users of this machine, for tests that root runs: `nobody`, and others of its group."""

import grp
import os
import pwd
from collections.abc import Callable

import pytest

NOBODY = pwd.getpwnam("nobody").pw_uid

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")

_GROUP = pwd.getpwnam("nobody").pw_gid
GROUP = grp.getgrgid(_GROUP).gr_name
"""The primary group of `nobody` and of others."""

_OTHERS = [user.pw_uid for user in pwd.getpwall() if user.pw_gid == _GROUP]
_STRANGERS = [user.pw_uid for user in pwd.getpwall() if user.pw_gid not in (0, _GROUP)]


def others(count: int) -> list[int]:
    """So many users of that group besides `nobody`. Skips where there are none."""
    found = [uid for uid in _OTHERS if uid != NOBODY]
    if len(found) < count:
        pytest.skip(f"it takes {count} users besides nobody whose primary group is {GROUP}")
    return found[:count]


def stranger() -> int:
    """A user who is not in it."""
    return _STRANGERS[0]


def name_of(uid: int) -> str:
    return pwd.getpwuid(uid).pw_name


def group_of(uid: int) -> str:
    return grp.getgrgid(pwd.getpwuid(uid).pw_gid).gr_name


def as_nobody(function: Callable[[], bytes]) -> bytes:
    """What a function returns when they call it; see `as_user`."""
    return as_user(NOBODY, function)


def as_user(uid: int, function: Callable[[], bytes]) -> bytes:
    """What a function returns when a user calls it, in a process of theirs; the name of its error,
    if it has one. (They could not start this Python, which is below root's home.)"""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        answer = b"not even begun"
        try:
            user = pwd.getpwuid(uid)
            os.setgroups(os.getgrouplist(user.pw_name, user.pw_gid))
            os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
            os.setresuid(uid, uid, uid)
            answer = function()
        except BaseException as error:  # noqa: BLE001 - it is told
            answer = type(error).__name__.encode()
        finally:
            os.write(writer, answer)
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answers:
        answer = answers.read()
    os.waitpid(child, 0)
    return answer
