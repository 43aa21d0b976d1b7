"""Watches for input files that are not there yet.

The kernel says when something appears in a directory (inotify). While a file's directory does not
exist either, the nearest one above it that does is watched. A file counts as there when whoever
writes it has closed it or moved it into place, not when it is created: a consumer must not read
the first half.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable

from asyncinotify import Inotify, Mask, Watch

from torcd.model import FileKey, WorkflowKey

Appeared = Callable[[WorkflowKey, FileKey], None]

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


class InputWatcher:
    def __init__(self, appeared: Appeared) -> None:
        self._appeared = appeared
        self._wanted: dict[str, set[tuple[WorkflowKey, FileKey]]] = {}
        self._inotify: Inotify | None = None
        self._watches: dict[str, Watch] = {}

    async def run(self) -> None:
        with Inotify() as inotify:
            self._inotify = inotify
            for path in list(self._wanted):
                self._look(path)
            async for event in inotify:
                directory = str(event.watch.path) if event.watch is not None else None
                if event.mask & _GONE and directory is not None:
                    self._watches.pop(directory, None)
                name = None if event.name is None else str(event.name)
                self._something_in(directory, name)

    def watch(self, workflow_key: WorkflowKey, file_key: FileKey, path: str) -> None:
        """Say once when the file is there; at once, if it is."""
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        self._wanted.setdefault(path, set()).add((workflow_key, file_key))
        if self._inotify is not None:
            self._look(path)

    def forget(self, workflow_key: WorkflowKey) -> None:
        """The workflow is over."""
        for path, wanted in list(self._wanted.items()):
            wanted -= {pair for pair in wanted if pair[0] == workflow_key}
            if not wanted:
                del self._wanted[path]
        self._drop_unused_watches()

    def _something_in(self, directory: str | None, name: str | None) -> None:
        for path in list(self._wanted):
            if directory is None or name is None or _concerns(path, directory, name):
                self._look(path)
        self._drop_unused_watches()

    def _look(self, path: str) -> None:
        # Watch first and look then: what comes in between is seen by one of the two.
        while self._watch_above(path) != os.path.dirname(path):
            if not os.path.isdir(os.path.dirname(path)):
                return
        if os.path.exists(path) and not _is_being_written(path):
            for pair in self._wanted.pop(path, ()):
                self._appeared(*pair)

    def _watch_above(self, path: str) -> str:
        """Watch the nearest directory above that is there; returns it."""
        assert self._inotify is not None
        directory = os.path.dirname(path)
        while directory not in self._watches:
            try:
                self._watches[directory] = self._inotify.add_watch(directory, _MASK)
            except OSError:
                if directory == "/":
                    raise
                directory = os.path.dirname(directory)
        return directory

    def _drop_unused_watches(self) -> None:
        for directory in list(self._watches):
            prefix = directory.rstrip("/") + "/"
            if not any(path.startswith(prefix) for path in self._wanted):
                watch = self._watches.pop(directory)
                assert self._inotify is not None
                # The directory may be gone, and its watch with it.
                with contextlib.suppress(OSError):
                    self._inotify.rm_watch(watch)


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
