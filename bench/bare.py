"""The bare server (`bench/bare_server.py`), started and ended."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from bench import ours

PROGRAM = Path(__file__).with_name("bare_server.py")


@contextmanager
def server(directory: Path, does: Literal["least", "contract"]) -> Iterator[Path]:
    """One that keeps its database in a directory; yields the path of its socket."""
    # The path of a socket can have some 100 bytes.
    with tempfile.TemporaryDirectory(prefix="bare-") as short:
        socket = Path(short, "bare.sock")
        process = subprocess.Popen(
            [ours.PYTHON, PROGRAM, socket, directory / "bare.db", does],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n", "the bare server did not start"
            yield socket
            assert process.poll() is None, "the bare server has ended by itself"
        finally:
            process.kill()
            process.communicate()
