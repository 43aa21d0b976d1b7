"""Whether what lies where torcd keeps its things is torcd's own.

The database has the environments of jobs in it, and logs and values may be anybody's secrets. So
directories are for their owner alone, and so are files; where several users are served, others may
pass through directories to what is theirs, but not look around. What was put in the way by somebody
else, or leads elsewhere, is neither used nor removed: the daemon says so and does not start.
"""

import os
import stat
from collections.abc import Iterable

from torcd import errors

PRIVATE, PASSABLE = 0o700, 0o711
"""Modes of directories."""


def check_directory(path: str, mode: int = PRIVATE) -> None:
    """Of a directory that may not be there yet: for its owner alone, if need be from now on. `mode`
    PASSABLE: others may pass through it.

    A symbolic link of our own or of root's is followed, as to a larger disk. Raises ConfigError.
    """
    try:
        link = os.lstat(path)
        facts = os.stat(path)
    except FileNotFoundError:
        if os.path.islink(path):
            raise _refused(path, "is a symbolic link that leads nowhere") from None
        return
    except OSError as error:
        raise _refused(path, f"cannot be looked at: {error.strerror}") from None
    if link.st_uid not in (os.geteuid(), 0):
        raise _refused(path, f"belongs to user {link.st_uid}")
    if not stat.S_ISDIR(facts.st_mode):
        raise _refused(path, "is no directory")
    if facts.st_uid != os.geteuid():
        raise _refused(path, f"belongs to user {facts.st_uid}")
    if facts.st_mode & stat.S_IWOTH:
        raise _refused(path, "may be written by everybody, so what is in it may be anybody's")
    if stat.S_IMODE(facts.st_mode) & 0o077 != mode & 0o077:
        _change(path, mode)


def check_way(path: str) -> None:
    """That nobody else can put another directory in the place of this one. Raises ConfigError."""
    above = os.path.dirname(os.path.abspath(path))
    try:
        facts = os.stat(above)
    except OSError:
        return  # it will be made, or cannot be; both are told then
    if facts.st_uid not in (os.geteuid(), 0):
        raise _refused(above, f"belongs to user {facts.st_uid}, who could replace what is in it")
    if facts.st_mode & stat.S_IWOTH and not facts.st_mode & stat.S_ISVTX:
        raise _refused(above, "may be written by everybody, who could replace what is in it")


def check_files(paths: Iterable[str]) -> None:
    """Of files that may not be there yet: for their owner alone, if need be from now on. Raises
    ConfigError."""
    for path in paths:
        try:
            facts = os.lstat(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _refused(path, f"cannot be looked at: {error.strerror}") from None
        if not stat.S_ISREG(facts.st_mode):
            is_link = stat.S_ISLNK(facts.st_mode)
            raise _refused(path, "is a symbolic link" if is_link else "is no file")
        if facts.st_uid != os.geteuid():
            raise _refused(path, f"belongs to user {facts.st_uid}")
        if facts.st_mode & 0o077:
            _change(path, 0o600)


def _change(path: str, mode: int) -> None:
    try:
        os.chmod(path, mode)
    except OSError as error:
        problem = f"cannot be given the mode {mode:03o}: {error.strerror}"
        raise _refused(path, problem) from None


def make_for(path: str, uid: int, gid: int) -> None:
    """A directory of a user's own, in one where only we can write. Raises OSError."""
    try:
        os.mkdir(path, PRIVATE)
    except FileExistsError:
        facts = os.lstat(path)
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid not in (uid, os.geteuid()):
            raise
        if facts.st_uid == uid:
            return
    os.chown(path, uid, gid, follow_symlinks=False)


def _refused(path: str, problem: str) -> errors.ConfigError:
    return errors.ConfigError(
        f"{path} {problem}; torcd keeps its own there: look at it and move it away, or name "
        "another state directory with --state-dir",
        file=path,
    )
