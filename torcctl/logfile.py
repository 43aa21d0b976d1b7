"""Reading a log, and following one that is still being written.

The kernel tells when there is more (inotify), and a thread that listens to the daemon tells when
the attempt has ended; both come together in one poll. What the job has written before its end is
there when the end is told, so one more reading after that has everything.
"""

import errno
import os
import select
import stat
import threading
from collections.abc import Callable, Iterator
from io import FileIO
from typing import Literal

import msgspec

from torcctl.specfile import CannotRead
from torcd.errors import UserError

Stream = Literal["stdout", "stderr"]

_CHUNK_BYTES = 256 * 1024

CUT = b"\n[torcctl: the log was cut because of max_log_bytes; some of it is left out here]\n"
"""Said to who follows a log that the daemon cuts meanwhile."""


class NoLog(UserError):
    """There is nothing to print: it has not started, or keeps no log. Facts: job, action,
    status."""

    code = "NoLog"


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """A log, of an attempt of a job or of a command of an action, and how to wait for its end."""

    path: str
    stream: Stream
    run_id: int
    has_ended: bool
    until_ended: Callable[[], None]
    """Returns when it has ended. May be called in a thread of its own."""
    job_key: str | None = None
    job_name: str | None = None
    attempt_id: int | None = None
    action: int | None = None
    command: int | None = None


def opened(path: str) -> FileIO:
    """Raises OSError, and CannotRead for what is no file: a job may have put anything in its log's
    place, a pipe on which one would wait, or a link to what is not its own."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = FileIO(os.open(path, flags), closefd=True)
    except OSError as e:
        if e.errno not in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise
    else:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
    problem = "it is no file any more; the job has put something else in its place"
    raise CannotRead(f"cannot read {path}: {problem}", file=path)


def chunks(path: str) -> Iterator[bytes]:
    """What is in the file. Raises CannotRead."""
    try:
        with opened(path) as file:
            while data := file.read(_CHUNK_BYTES):
                yield data
    except OSError as e:
        raise CannotRead(f"cannot read {path}: {e.strerror}", file=path) from None


def follow(path: str, wait_for_end: Callable[[], None]) -> Iterator[bytes]:
    """What is in the file and what is added to it, until `wait_for_end` has returned, which is
    called in a thread of its own and whose error is raised here. Raises CannotRead."""
    # Late: it imports asyncio.
    from asyncinotify import Inotify, Mask

    ended = os.eventfd(0, os.EFD_CLOEXEC)
    failed: list[BaseException] = []

    def listen() -> None:
        try:
            wait_for_end()
        except BaseException as e:  # noqa: BLE001 - it is raised again, in the other thread
            failed.append(e)
        os.eventfd_write(ended, 1)

    listener = threading.Thread(target=listen, daemon=True)
    try:
        with Inotify() as inotify, opened(path) as file:
            # Watched first, read second: nothing is added unseen in between.
            inotify.add_watch(path, Mask.MODIFY)
            listener.start()
            poll = select.poll()
            poll.register(inotify.fd, select.POLLIN)
            poll.register(ended, select.POLLIN)
            over = False
            while True:
                if os.fstat(file.fileno()).st_size < file.tell():
                    file.seek(0, os.SEEK_END)
                    yield CUT
                while data := file.read(_CHUNK_BYTES):
                    yield data
                if over:
                    listener.join()
                    break
                ready = {fd for fd, _ in poll.poll()}
                if inotify.fd in ready:
                    # Which events does not matter, only that they do not stay in the queue.
                    os.read(inotify.fd, _CHUNK_BYTES)
                over = ended in ready
    except OSError as e:
        raise CannotRead(f"cannot read {path}: {e.strerror}", file=path) from None
    finally:
        # A reader that stops early, on Ctrl-C, leaves the descriptor to the thread that writes to
        # it: the number might be another file's by then.
        if not listener.is_alive():
            os.close(ended)
    if failed:
        raise failed[0]
