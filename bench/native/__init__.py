"""The programs in C: compiled when they are wanted, and run.

They are what figures are compared with, or what asks a server, so they must not cost anything that
could be left out.
"""

import functools
import os
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

HERE = Path(__file__).parent
BUILD = HERE.parent / ".build"

DOUBLE = struct.Struct("d")


class Asked(msgspec.Struct, frozen=True):
    """What clients have seen of a server: replies, in how many seconds, and the seconds of CPU that
    the clients took themselves."""

    replies: int
    seconds: float
    busy_seconds: float

    @property
    def per_second(self) -> float:
        return self.replies / self.seconds

    @property
    def busy(self) -> float:
        """The share of the time in which the clients were not idle."""
        return self.busy_seconds / self.seconds


@functools.cache
def program(name: str) -> Path:
    """A program, compiled if it is older than its source. Raises SystemExit without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise SystemExit("the benchmarks need a C compiler (apt-get install gcc)")
    source, built = HERE / f"{name}.c", BUILD / name
    if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(exist_ok=True)
        # Somebody else may be doing the same, or running it already: it is there in one step.
        made = BUILD / f"{name}.{os.getpid()}"
        subprocess.run([compiler, "-O2", "-Wall", "-o", made, source], check=True)
        made.replace(built)
    return built


def limit_seconds(
    count: int, at_once: int, *command: str | Path, environment: dict[str, str] | None = None
) -> float:
    """How long the machine takes to run a program `count` times. Raises AssertionError when it
    fails."""
    done = subprocess.run(
        [program("limit"), str(count), str(at_once), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stderr}"
    return float(done.stderr.splitlines()[-1])


def ask(
    socket: Path, request: bytes, *, connections: int, seconds: float, ending: bytes, prefix: str
) -> Asked:
    """Have clients ask a server for some seconds; `load.c` says what they make of `request`. A
    reply ends with the last byte of `ending`, which are equal bytes, and begins with `prefix`."""
    words = [str(connections), str(seconds), str(ending[0]), str(len(ending)), prefix]
    done = subprocess.run(
        [program("load"), "ask", socket, *words], input=request, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    replies, elapsed, busy = done.stdout.split()
    return Asked(int(replies), float(elapsed), float(busy))


def stamps(file: Path) -> Sequence[float]:
    """The times that `stamp.c` wrote, in seconds of CLOCK_MONOTONIC."""
    return [time for (time,) in DOUBLE.iter_unpack(file.read_bytes())]
