"""How attempts end of which nobody near is the parent.

The jobs of a warden that an earlier daemon started become neither our children nor the next
warden's when it dies: one that ends before the next warden holds it can be waited for by nobody
who would tell. But the kernel (6.15 and newer) keeps the status for who held a pidfd before. So the
daemon holds one of each of these; when a warden calls one of them lost, it asks the kernel.
"""

import os
from collections.abc import Iterable

from torcd.executors.base import Exited, Lost, Report
from torcd.executors.warden import processes
from torcd.executors.warden.orphans import kept_status
from torcd.model import AttemptKey

MAX_WATCHED = 64
"""Each takes a descriptor, and clients leave few of them. More jobs rarely run at once; one beyond
is lost if it ends in the tenth of a second in which there is no warden."""


class Witness:
    def __init__(self, state_id: int) -> None:
        self._state_id = state_id
        self._pidfds: dict[AttemptKey, int] = {}

    def watch(self, key: AttemptKey, pid: int) -> None:
        """It runs; its leader has this pid, if it is still there."""
        if key in self._pidfds or len(self._pidfds) >= MAX_WATCHED:
            return
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:  # it is gone, or there are no more descriptors
            return
        # Opened first: what has the marker now is what the descriptor is of.
        if processes.read_marker(pid) == processes.marker(self._state_id, key):
            self._pidfds[key] = pidfd
        else:
            os.close(pidfd)

    def testify(self, reports: list[Report]) -> list[Report]:
        """The same, with how those ended that are called lost, where that is known here."""
        if not self._pidfds:
            return reports
        return [self._known_end(one) if isinstance(one, Lost) else one for one in reports]

    def _known_end(self, report: Lost) -> Exited | Lost:
        pidfd = self._pidfds.get(report.attempt_key)
        code = None if pidfd is None else kept_status(pidfd)
        if code is None:
            return report
        return Exited(
            report.attempt_key, code, cpu_seconds=None, peak_memory_bytes=None, at=report.at
        )

    def forget(self, attempts: Iterable[AttemptKey]) -> None:
        """They are over."""
        if not self._pidfds:
            return
        for key in attempts:
            pidfd = self._pidfds.pop(key, None)
            if pidfd is not None:
                os.close(pidfd)

    def close(self) -> None:
        self.forget(list(self._pidfds))
