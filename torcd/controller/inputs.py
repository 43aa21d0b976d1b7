"""Watches for input files that are not there yet.

The kernel says when something appears in a directory (inotify). While a file's directory does not
exist either, the nearest one above it that does is watched. A file counts as there when whoever
writes it has closed it or moved it into place, not when it is created: a consumer must not read
the first half.

Paths are whatever a spec says, and no path may end the daemon. A directory that is there but
cannot be watched (it may not be read, or the kernel's limit of watches is reached) is told in the
log; what appears in it is seen when something else makes us look.

What a user may not see, is not there for that user: the daemon of root looks with the rights of the
workflow's owner.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable
from typing import Any

from asyncinotify import Inotify, Mask, Watch

from torcd import errors
from torcd.accounts import Account
from torcd.impersonation import acting_as
from torcd.model import FileKey, WorkflowKey

Appeared = Callable[[WorkflowKey, FileKey], None]

Wanted = tuple[str, Account | None]
"""A path, and who looks, if not we."""

_GONE = Mask.DELETE_SELF | Mask.MOVE_SELF | Mask.IGNORED | Mask.UNMOUNT
"""What the name of a watched directory stands for is another directory now, or none."""

_MASK = (
    Mask.CREATE
    | Mask.CLOSE_WRITE
    | Mask.MOVED_TO
    | Mask.DELETE_SELF
    | Mask.MOVE_SELF
    | Mask.ONLYDIR
)


_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)


class InputWatcher:
    def __init__(self, appeared: Appeared, log: Any) -> None:
        self._appeared = appeared
        self._log = log
        self._wanted: dict[Wanted, set[tuple[WorkflowKey, FileKey]]] = {}
        self._inotify: Inotify | None = None
        self._watches: dict[str, Watch] = {}
        self._unwatchable: set[str] = set()
        """Directories that are there and could not be watched."""

    async def run(self) -> None:
        with _inotify() as inotify:
            self._inotify = inotify
            for wanted in list(self._wanted):
                self._look(wanted)
            async for event in inotify:
                name = None if event.name is None else str(event.name)
                if event.watch is None:
                    self._something_in(None, name)
                    continue
                # One directory may have several names: by symbolic links, or mounted twice.
                for directory in [d for d, w in self._watches.items() if w is event.watch]:
                    if event.mask & _GONE:
                        del self._watches[directory]
                    self._something_in(directory, name)

    def watch(
        self, workflow_key: WorkflowKey, file_key: FileKey, path: str, user: Account | None = None
    ) -> None:
        """Say once when the file is there for this user, if not for us; at once, if it is."""
        with acting_as(user):
            path = os.path.join(_real_directory(path), os.path.basename(path))
        self._wanted.setdefault((path, user), set()).add((workflow_key, file_key))
        if self._inotify is not None:
            self._look((path, user))

    def forget(self, workflow_key: WorkflowKey) -> None:
        """The workflow is over."""
        for wanted, keys in list(self._wanted.items()):
            keys -= {pair for pair in keys if pair[0] == workflow_key}
            if not keys:
                del self._wanted[wanted]
        self._drop_unused_watches()

    def _something_in(self, directory: str | None, name: str | None) -> None:
        for wanted in list(self._wanted):
            if directory is None or name is None or _concerns(wanted[0], directory, name):
                self._look(wanted)
        self._drop_unused_watches()

    def _look(self, wanted: Wanted) -> None:
        with acting_as(wanted[1]):
            is_there = self._watch_and_look(wanted[0])
        if is_there:
            for pair in self._wanted.pop(wanted, ()):
                self._appeared(*pair)

    def _watch_and_look(self, path: str) -> bool:
        # Watch first and look then: what comes in between is seen by one of the two.
        directory = os.path.dirname(path)
        while self._watch_above(path) != directory and directory not in self._unwatchable:
            if not os.path.isdir(directory):
                return False
        return os.path.exists(path) and not _is_being_written(path)

    def _watch_above(self, path: str) -> str:
        """Watch the nearest directory above that can be watched; returns it."""
        directory = os.path.dirname(path)
        while directory not in self._watches and not self._add_watch(directory):
            if directory == os.path.dirname(directory):
                break
            directory = os.path.dirname(directory)
        return directory

    def _add_watch(self, directory: str) -> bool:
        assert self._inotify is not None
        try:
            self._watches[directory] = self._inotify.add_watch(directory, _MASK)
        except OSError as error:
            if error.errno not in _NOT_THERE and directory not in self._unwatchable:
                self._unwatchable.add(directory)
                self._log.warning(
                    "cannot watch for input files", directory=directory, problem=str(error)
                )
            return False
        self._unwatchable.discard(directory)
        return True

    def _drop_unused_watches(self) -> None:
        for directory in list(self._watches):
            prefix = directory.rstrip("/") + "/"
            if not any(path.startswith(prefix) for path, _ in self._wanted):
                watch = self._watches.pop(directory)
                if watch in self._watches.values():
                    continue
                assert self._inotify is not None
                # The directory may be gone, and its watch with it.
                with contextlib.suppress(OSError):
                    self._inotify.rm_watch(watch)


def _real_directory(path: str) -> str:
    """The directory of a path, without symbolic links where they can be followed."""
    directory = os.path.dirname(path)
    try:
        return os.path.realpath(directory)
    except OSError:
        return directory


def _inotify() -> Inotify:
    try:
        return Inotify()
    except OSError as error:
        raise errors.ExecutorError(
            f"cannot watch for files: {error.strerror}; the kernel allows each user some instances "
            "of inotify, see sysctl fs.inotify.max_user_instances"
        ) from error


def _concerns(path: str, directory: str, name: str) -> bool:
    here = os.path.join(directory, name)
    return path == here or path.startswith(here + "/")


def _is_being_written(path: str) -> bool:
    """Whether somebody has it open for writing; False where that cannot be told.

    The kernel gives a read lease on a file only while nobody has it open for writing.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
