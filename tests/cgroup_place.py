"""A place for cgroups, for tests: a directory of its own in a cgroup2 file system, if this user may
make one."""

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from torcd.executors.local import delegation
from torcd.executors.warden import cgroups

_numbers = count()


@contextmanager
def place() -> Iterator[str | None]:
    """None: cgroups can't be made here. Whoever is left in it at the end is killed."""
    path = _make()
    try:
        yield path
    finally:
        if path is not None:
            _take_down(path)


def _make() -> str | None:
    own = delegation.own_cgroup(
        Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text()
    )
    if own is None:
        return None
    path = f"{own[1]}/torcd-tests-{os.getpid()}-{next(_numbers)}"
    try:
        os.mkdir(path)
        return delegation.place(path)
    except (OSError, delegation.ConfigError):
        return None


def _take_down(path: str) -> None:
    """With all that is in it, also a warden that is about to end by itself."""
    cgroups.kill(path)
    for directory, _, _ in os.walk(path):
        for pid in cgroups.pids(directory):
            _wait_for(pid)
    assert cgroups.remove(path), f"somebody lives on in {path}"


def _wait_for(pid: int) -> None:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll(10_000)
    os.close(pidfd)
