"""Have attempts stand still, and go on.

With a cgroup the kernel does it. What is not in it (there is none, or a process has moved itself
out) is found as what is to be killed is found, and gets SIGSTOP, again and again until a look finds
nothing new: what has been stopped starts nothing. To go on it gets SIGCONT. So without cgroups a
process that had stopped itself is woken, too, and a parent may see that its child was stopped.

Whoever is told to end is not frozen any more.
"""

import os
import signal
import time

from torcd.executors.warden import cgroups, processes
from torcd.executors.warden.ledger import RUNNING, Attempt

TYPE_CHECKING = False  # as in typing, whose import would cost memory
if TYPE_CHECKING:
    from torcd.executors.warden.cleaning import Cleaner

PASSES = 20
"""Looks at all processes in a row, as long as each finds new ones."""
LOOK_AGAIN_SECONDS = 0.02
"""How soon to go on with a program that forks faster than that."""


class Freezer:
    def __init__(self, cleaner: "Cleaner") -> None:
        self._cleaner = cleaner
        self._changed: dict[int, Attempt] = {}
        """Those that have yet to stand still, or to go on."""
        self.due: float | None = None
        """When `settle` is to be called though nothing has happened; monotonic seconds."""

    def change(self, attempt: Attempt, *, frozen: bool) -> None:
        """Have it stand still or go on, with the next `settle`."""
        attempt.frozen = frozen
        self._changed[attempt.key] = attempt

    def settle(self, leaders: dict[int, Attempt]) -> None:
        """Do what is due. `leaders`: our children by pid."""
        if not self._changed:
            return
        self.due = None
        changed, self._changed = self._changed, {}
        running = [attempt for attempt in changed.values() if attempt.state == RUNNING]
        for attempt in running:
            if attempt.cgroup:
                cgroups.freeze(attempt.cgroup, attempt.frozen)
        self._wake([a for a in running if not a.frozen], leaders)
        restless = self._stop([a for a in running if a.frozen], leaders)
        if restless:
            self._changed.update((attempt.key, attempt) for attempt in restless)
            self.due = time.monotonic() + LOOK_AGAIN_SECONDS

    def _wake(self, attempts: list[Attempt], leaders: dict[int, Attempt]) -> None:
        if attempts:
            for process in self._outside(attempts, leaders):
                processes.send_signal(process, signal.SIGCONT)

    def _stop(self, attempts: list[Attempt], leaders: dict[int, Attempt]) -> list[Attempt]:
        """Those of whom the last look still found new processes: all, or none."""
        if not attempts:
            return []
        seen: set[tuple[int, int]] = set()
        for _ in range(PASSES):
            fresh = [
                process
                for process in self._outside(attempts, leaders)
                if (process.pid, process.born) not in seen
            ]
            if not fresh:
                return []
            for process in fresh:
                seen.add((process.pid, process.born))
                processes.send_signal(process, signal.SIGSTOP)
        return attempts

    def _outside(
        self, attempts: list[Attempt], leaders: dict[int, Attempt]
    ) -> list[processes.Process]:
        """Their living processes that are not in a cgroup of theirs."""
        everybody = self._cleaner.all_processes()
        found = self._cleaner.members(attempts, everybody, leaders)
        outside: set[int] = set()
        for attempt in attempts:
            pids = found[attempt.key]
            if attempt.cgroup:
                pids = {pid for pid in pids if not cgroups.holds(attempt.cgroup, pid)}
            outside |= pids
        return [everybody[pid] for pid in outside - {os.getpid()}]
