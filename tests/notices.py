"""What a daemon tells its service manager (sd_notify), read by the test in systemd's place."""

import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_SECONDS = 20


class Notices:
    def __init__(self, address: str, listening: socket.socket) -> None:
        self.address = address
        self.socket = listening

    @classmethod
    @contextmanager
    def open(cls) -> Iterator["Notices"]:
        # The path of a socket can have some 100 bytes, and pytest's directories are deep.
        directory = tempfile.mkdtemp(prefix="torcd-notices-")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
                listening.bind(f"{directory}/notify")
                listening.settimeout(PATIENCE_SECONDS)
                yield cls(f"{directory}/notify", listening)
        finally:
            shutil.rmtree(directory)

    def next(self) -> list[str]:
        """The lines of the next message."""
        return self.socket.recv(1 << 16).decode().split("\n")

    def until(self, is_it: Callable[[str], object]) -> list[str]:
        """All that is told up to a line that fits, and the lines of its message."""
        told: list[str] = []
        while True:
            lines = self.next()
            told += lines
            if any(map(is_it, lines)):
                return told
