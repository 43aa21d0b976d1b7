"""One run of the suite: how much is measured, how often, and where."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench.figures import Figure, Skipped
from bench.peers import Peer


class Run(msgspec.Struct, frozen=True, kw_only=True):
    rounds: int
    is_quick: bool
    """Sizes so small that the figures mean nothing: to see whether the benchmarks work."""
    at_once: int
    """How many jobs may run at a time."""
    scratch: Path
    """On a disk."""
    logs: Path | None
    """Where the logs of jobs go, in memory; None: they are on the disk, too."""
    peers: tuple[Peer, ...]
    peer_seconds: float
    """How long a peer may take for what it is given."""
    say: Callable[[str], None]
    """For who waits."""

    def size(self, full: int, quick: int) -> int:
        return quick if self.is_quick else full

    def seconds(self, full: float, quick: float) -> float:
        return quick if self.is_quick else full

    def each_round(self) -> Iterator[int]:
        for number in range(self.rounds):
            self.say(f"round {number + 1} of {self.rounds}")
            yield number

    def fresh(self, name: str) -> Path:
        """A new directory. Nothing in it is removed before the end of the run: where thousands of
        files were deleted, ext4 makes new ones slowly for minutes."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.scratch))


Row = Callable[[Run], Iterator[Figure | Skipped]]
"""A benchmark: measures all its rounds, and yields what it has found."""


@contextmanager
def places(*, logs_on_disk: bool) -> Iterator[tuple[Path, Path | None]]:
    """Where a run may put its files, and the logs of jobs. All is deleted when the run is over."""
    scratch = Path(tempfile.mkdtemp(prefix="torcd-bench-"))
    logs = None if logs_on_disk else Path(tempfile.mkdtemp(prefix="torcd-bench-", dir="/dev/shm"))
    try:
        yield scratch, logs
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if logs is not None:
            shutil.rmtree(logs, ignore_errors=True)
