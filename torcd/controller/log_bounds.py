"""Logs of jobs do not grow beyond a bound, where one is configured.

Jobs write their logs themselves, straight into the files, so that they need nobody to go on. So a
log is cut while it is written: its beginning stays, which says what was started, and its end, which
says how it went; what was between them is left out, and a line says so. The kernel tells that
something was written (inotify); between two looks a log may grow beyond the bound by what a job
writes meanwhile.
"""

import os
import stat
from collections.abc import Iterable
from typing import Any

import anyio
from anyio import to_thread
from asyncinotify import Inotify, Mask

from torcd.accounts import Account
from torcd.executors.base import AttemptOrder
from torcd.impersonation import as_user
from torcd.model import AttemptKey

LOOK_SECONDS = 0.25
"""At least so long between two looks: a job that writes all the time costs four looks a second."""

COPY_BYTES = 1 << 20
_EVENTS_BYTES = 1 << 16


class LogBounds:
    def __init__(self, max_bytes: int, log: Any) -> None:
        """`max_bytes` 0: they may grow as they like."""
        self._max_bytes = max_bytes
        self._log = log
        self._paths: dict[AttemptKey, set[str]] = {}
        self._directories: dict[str, int] = {}
        """Those that are watched, and the logs in each that are being written."""
        self._inotify: Inotify | None = None
        self._users: dict[str, Account | None] = {}
        """Whose each log is, if not ours."""
        self._ended: set[str] = set()
        """Logs of attempts that are over, to be looked at a last time."""
        self._look = anyio.Event()

    def watch(self, order: AttemptOrder) -> None:
        """Before it starts; again for one that may have started long ago."""
        if not self._max_bytes or order.attempt_key in self._paths:
            return
        paths = {path for path in (order.stdout, order.stderr) if path is not None}
        self._paths[order.attempt_key] = paths
        self._users.update(dict.fromkeys(paths, order.user))
        for path in paths:
            directory = os.path.dirname(path)
            self._directories[directory] = self._directories.get(directory, 0) + 1
            if self._directories[directory] == 1:
                self._add_watch(directory)
        self._look.set()

    def forget(self, attempts: Iterable[AttemptKey]) -> None:
        """They are over."""
        if not self._max_bytes:
            return
        for key in attempts:
            paths = self._paths.pop(key, set())
            self._ended |= paths
            for path in paths:
                directory = os.path.dirname(path)
                self._directories[directory] -= 1
                if not self._directories[directory]:
                    del self._directories[directory]
                    self._remove_watch(directory)
        if self._ended:
            self._look.set()

    async def run(self) -> None:
        if not self._max_bytes:
            return
        with Inotify() as inotify:
            self._inotify = inotify
            for directory in self._directories:
                self._add_watch(directory)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._listen, inotify.fd)
                while True:
                    await self._look.wait()
                    self._look = anyio.Event()
                    running = [path for paths in self._paths.values() for path in paths]
                    logs = {path: self._users[path] for path in (*self._ended, *running)}
                    self._ended.clear()
                    self._users = {path: self._users[path] for path in running}
                    await to_thread.run_sync(self._cut, logs, self._max_bytes)
                    await anyio.sleep(LOOK_SECONDS)

    async def _listen(self, descriptor: int) -> None:
        while True:
            await anyio.wait_readable(descriptor)
            # In which file does not matter: those that can have grown are few.
            os.read(descriptor, _EVENTS_BYTES)
            self._look.set()

    def _add_watch(self, directory: str) -> None:
        if self._inotify is None:
            return
        try:
            self._inotify.add_watch(directory, Mask.MODIFY | Mask.ONLYDIR)
        except OSError as error:
            self._log.warning("cannot watch logs", directory=directory, problem=str(error))

    def _remove_watch(self, directory: str) -> None:
        if self._inotify is None:
            return
        for watch in self._inotify.watches:
            if str(watch.path) == directory:
                self._inotify.rm_watch(watch)

    def _cut(self, logs: dict[str, Account | None], max_bytes: int) -> None:
        for path, user in logs.items():
            try:
                as_user(user, cut, path, max_bytes)
            except OSError as error:
                self._log.warning("cannot cut a log", path=path, problem=str(error))


def cut(path: str, max_bytes: int) -> None:
    """Leave a quarter of `max_bytes` from the beginning and half of it from the end, if the file
    has more than `max_bytes`. Somebody may be appending to it; what is appended at the very instant
    of the cut may be left out too."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size <= max_bytes:
            return
        head, tail = max_bytes // 4, max_bytes // 2
        left_out = facts.st_size - head - tail
        at = head
        at += os.pwrite(descriptor, f"\n[torcd: {left_out} bytes left out here]\n".encode(), at)
        source = facts.st_size - tail
        while piece := os.pread(descriptor, COPY_BYTES, source):
            source += len(piece)
            at += os.pwrite(descriptor, piece, at)
        os.ftruncate(descriptor, at)
    finally:
        os.close(descriptor)
