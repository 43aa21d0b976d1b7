"""The progress lines. That of `run` is one line on a terminal, drawn again as things change.

The clock in it goes on while nothing happens: a timer of the kernel interrupts the wait once a
second. Its handler may run in the middle of anything, so drawing goes straight to the descriptor.
"""

import os
import shutil
import signal
import sys
import time
from types import FrameType

from torcctl.render.outlook import reading_text
from torcctl.render.progress import progress
from torcd.protocol import manager as m

_ERASE = "\r\x1b[K"


class ProgressLine:
    """A context manager; without a terminal it draws nothing and prints only remarks."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._draws = not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._began = time.monotonic()
        self._info: m.WorkflowInfo | None = None

    def __enter__(self) -> "ProgressLine":
        if self._draws:
            signal.signal(signal.SIGALRM, self._tick)
            signal.setitimer(signal.ITIMER_REAL, 1, 1)
        return self

    def __exit__(self, *_: object) -> None:
        if self._draws:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            self._write(_ERASE)

    def show(self, info: m.WorkflowInfo) -> None:
        self._info = info
        self._draw()

    def say(self, line: str) -> None:
        """A line that stays, above the progress line."""
        if not self._quiet:
            self._write((_ERASE if self._draws else "") + line + "\n")
            self._draw()

    def _tick(self, _number: int, _frame: FrameType | None) -> None:
        self._draw()

    def _draw(self) -> None:
        if self._draws and self._info is not None:
            text = progress(self._info, time.monotonic() - self._began)
            # One column stays free: a full line would wrap, and erasing leaves half of it.
            self._write(_ERASE + text[: shutil.get_terminal_size().columns - 1])

    def _write(self, text: str) -> None:
        if self._draws:
            os.write(sys.stderr.fileno(), text.encode(errors="backslashreplace"))
        else:
            sys.stderr.write(text)
            sys.stderr.flush()


class ReadingLine:
    """How far it is with files that are read before a restart; a context manager. Without a
    terminal it draws nothing."""

    def __init__(self, *, quiet: bool) -> None:
        self._draws = not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._has_drawn = False

    def __enter__(self) -> "ReadingLine":
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_drawn:
            os.write(sys.stderr.fileno(), _ERASE.encode())

    def show(self, progress: m.ReadingFiles) -> None:
        if self._draws:
            self._has_drawn = True
            text = reading_text(progress)[: shutil.get_terminal_size().columns - 1]
            os.write(sys.stderr.fileno(), (_ERASE + text).encode(errors="backslashreplace"))
