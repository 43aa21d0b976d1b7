"""Room on disks: whether a failure was for want of it, whether there is some, and how to say so."""

import errno
import os

from torcd.errors import NoSpace

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Full, or the user's quota is."""

_PROBE = "room.probe"


def is_no_room(error: BaseException | None) -> bool:
    """Whether something failed because there is no room for it."""
    return isinstance(error, OSError) and error.errno in NO_ROOM


def has_room(directory: str, size_bytes: int) -> bool:
    """Whether a file of that size can be made there now. Not by what the file system says is free,
    which knows no quotas and counts what is kept for root, but by having it allocated. False only
    for want of room: for any other trouble the one who then writes has better words."""
    path = os.path.join(directory, _PROBE)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.unlink(path)
            os.posix_fallocate(descriptor, 0, size_bytes)
        finally:
            os.close(descriptor)
    except OSError as error:
        return not is_no_room(error)
    return True


def no_space(path: str, what: str) -> NoSpace:
    """The error for `path`, which could not be written; `what` is it, for people."""
    directory = os.path.dirname(os.path.abspath(path))
    mount_point = _mount_point(directory)
    free = _free_bytes(directory)
    return NoSpace(
        f"the disk is full: {what} {path} cannot be written; the file system at {mount_point} has "
        f"{free} bytes free; make room there, and torcd goes on by itself",
        path=path,
        mount_point=mount_point,
        free_bytes=free,
    )


def _mount_point(directory: str) -> str:
    path = os.path.realpath(directory)
    while path != "/" and not os.path.ismount(path):
        path = os.path.dirname(path)
    return path


def _free_bytes(directory: str) -> int:
    """For this user; quotas are not looked at."""
    try:
        facts = os.statvfs(directory)
    except OSError:
        return 0
    return facts.f_bavail * facts.f_frsize
