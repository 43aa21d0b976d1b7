"""See our children end: read how, write it down, and only then reap."""

import os
import time

from torcd.executors.warden import ledger
from torcd.executors.warden.cleaning import Cleaner
from torcd.executors.warden.journal import Journal
from torcd.executors.warden.ledger import ENDING, Attempt
from torcd.executors.warden.starting import FULL_DISK_SECONDS, Starter


class Reaper:
    def __init__(
        self, journal: Journal, starter: Starter, cleaner: Cleaner, leaders: dict[int, Attempt]
    ) -> None:
        """`leaders`: our children by pid; those that have ended are taken out."""
        self._journal = journal
        self._starter = starter
        self._cleaner = cleaner
        self._leaders = leaders
        self.due: float | None = None
        """When to try again to write down how a child ended; the disk had no room. In monotonic
        seconds."""

    def reap(self) -> None:
        """Take the status of children that have ended. One whose status cannot be written down is
        left as it is, and so are those behind it."""
        self._cleaner.is_childless = False
        if self.due is not None and time.monotonic() < self.due:
            return
        self.due = None
        while True:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                self._cleaner.is_childless = True
                return
            if info is None:
                return
            attempt = self._leaders.get(info.si_pid)
            if attempt is None:
                os.waitpid(info.si_pid, 0)
                self._cleaner.child_gone(info.si_pid)
                continue
            key, now = attempt.key, ledger.now()
            if attempt.starting:
                problem = self._starter.as_users.problem(attempt)
                if problem is not None:
                    if not self._starter.never_started(attempt, problem):
                        self.due = time.monotonic() + FULL_DISK_SECONDS
                        return
                    if attempt.state == ENDING:
                        self._cleaner.leader_ended(attempt)
                    continue
                self._starter.is_its_program(attempt)
            code = info.si_status if info.si_code == os.CLD_EXITED else -info.si_status
            if not self._journal.write(ledger.exited(key, code, now)):
                self.due = time.monotonic() + FULL_DISK_SECONDS
                return
            del self._leaders[info.si_pid]
            usage = os.wait4(info.si_pid, 0)[2]
            cpu_seconds = usage.ru_utime + usage.ru_stime
            attempt.end(ledger.exited(key, code, now, cpu_seconds, usage.ru_maxrss * 1024))
            self._journal.later(attempt.final)
            self._cleaner.leader_ended(attempt)
            self._starter.try_again()
