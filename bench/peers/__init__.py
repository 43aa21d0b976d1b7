"""The programs that torcd is compared with where jobs are run, each as its users run it.

A peer gets a graph (`bench.shapes`) whose every job is one command, and tells how many seconds it
took. The clock starts where a user would wait: with the command for those that are one (they read
a file that has been written before), with the submission for those that are a service, which runs
already.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from bench.shapes import Graph


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What a peer shall do."""

    graph: Graph
    command: str
    """A program without arguments."""
    at_once: int
    directory: Path
    """Its own, empty."""
    seconds: float
    """How long it may take. Raises subprocess.TimeoutExpired beyond."""


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    version: str
    run: Callable[[Task], float | None]
    """The seconds it took; None where it cannot do such a graph. Raises AssertionError when it did
    not succeed."""
    is_to_be_beaten: bool
    """Whether torcd means to be faster."""
