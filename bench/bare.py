"""The bare servers, for small and for large values; the bare warden, and the bare job runner."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from bench import ours

HERE = Path(__file__).parent


@contextmanager
def server(directory: Path, does: Literal["least", "contract"]) -> Iterator[Path]:
    """One for small values, with its database in a directory; yields the path of its socket."""
    with _running("bare_server.py", directory / "bare.db", does) as socket:
        yield socket


@contextmanager
def large_server(directory: Path, place: Literal["files", "database"]) -> Iterator[Path]:
    """One for large values, which it keeps in a directory; yields the path of its socket."""
    with _running("bare_large_server.py", directory, place) as socket:
        yield socket


@contextmanager
def _running(program: str, *words: str | Path) -> Iterator[Path]:
    # The path of a socket can have some 100 bytes.
    with tempfile.TemporaryDirectory(prefix="bare-") as short:
        socket = Path(short, "bare.sock")
        process = subprocess.Popen(
            [ours.PYTHON, HERE / program, socket, *words],
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


def warden_seconds(logs: Path, count: int, at_once: int, *command: str) -> float:
    """How long the bare warden takes."""
    return _seconds("-I", "-S", HERE / "bare_warden.py", logs, str(count), str(at_once), *command)


def runner_seconds(logs: Path, database: Path, count: int, at_once: int, *command: str) -> float:
    """How long the bare job runner takes, daemon and warden."""
    return _seconds("-m", "bench.bare_runner", logs, database, str(count), str(at_once), *command)


def _seconds(*words: str | Path) -> float:
    done = subprocess.run(
        [ours.PYTHON, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return float(done.stderr)
