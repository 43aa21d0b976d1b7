"""A Redis that keeps what it has acknowledged: its append-only file is synced before it answers."""

import os
import select
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers import environment

START_SECONDS = 20.0

SETTINGS = {
    "port": "0",
    "appendonly": "yes",
    "appendfsync": "always",
    "save": '""',
    "auto-aof-rewrite-percentage": "0",
    "daemonize": "no",
    "logfile": '""',
}
"""Only the append-only file is written, and it is not rewritten meanwhile: the best for Redis. It
talks on a Unix socket only."""


def version() -> str | None:
    """None: there is none here."""
    return environment.program_version("redis-server")


@contextmanager
def server(directory: Path) -> Iterator[Path]:
    """A Redis that keeps its files in a directory; yields the path of its socket."""
    path = environment.program("redis-server")
    assert path is not None
    # The path of a socket can have some 100 bytes.
    with tempfile.TemporaryDirectory(prefix="redis-") as short:
        socket = Path(short, "redis.sock")
        settings = SETTINGS | {"unixsocket": str(socket), "dir": str(directory)}
        file = directory / "redis.conf"
        file.write_text("".join(f"{key} {text}\n" for key, text in settings.items()))
        process = subprocess.Popen(
            [path, file],
            env=environment.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_it_serves(process)
            yield socket
            assert process.poll() is None, "Redis has ended by itself"
        finally:
            process.terminate()
            process.communicate()


def _wait_until_it_serves(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdout is not None
    said = b""
    while b"ready to accept connections" not in said:
        readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
        piece = os.read(process.stdout.fileno(), 65536) if readable else b""
        assert piece, f"Redis did not start:\n{said.decode()}"
        said += piece
