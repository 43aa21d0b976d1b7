"""torcctl in the background of a test."""

import contextlib
import subprocess
from collections.abc import Iterator

from tests.daemon_process import BIN, Daemon


@contextlib.contextmanager
def started(daemon: Daemon, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """A torcctl with pipes to read from, which does not outlive the test whatever happens."""
    process = subprocess.Popen(
        [BIN / "torcctl", *words],
        env=daemon.environment,
        cwd=daemon.directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            # Without this, leaving the block would wait for a process that waits for us.
            process.kill()
