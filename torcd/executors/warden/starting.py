"""Start attempts when it is their turn: those that have a place, a batch at a time.

An attempt is claimed in the journal before it is spawned. One that could not be spawned for want of
room, and one that never became its program for the same reason, is given back to its lane, and what
the journal says of it is taken back; any other that could not be started has ended.
"""

import os
import time

from torcd.executors.warden import ledger, processes, spawning
from torcd.executors.warden.as_user import Problem, Starts
from torcd.executors.warden.cgroups import Cgroups, remove
from torcd.executors.warden.journal import Journal
from torcd.executors.warden.lanes import Lanes
from torcd.executors.warden.ledger import QUEUED, RUNNING, Attempt

CLAIM_BATCH = 16
"""Claims in one write. More saves little, and all of a batch are lost if warden and daemon die at
once in the middle of it."""
NO_ROOM_SECONDS = 0.25
"""How long to wait before another try when the system has no room for a process."""
NO_ROOM_TRIES = 240
"""How often, with nothing of ours running that could make room: a minute."""
FULL_DISK_SECONDS = 1.0
"""How long to wait before another try when the disk is full. Nobody tells when there is room."""


class Starter:
    def __init__(
        self,
        state_id: int,
        journal: Journal,
        lanes: Lanes,
        leaders: dict[int, Attempt],
        reports: list[str],
        cgroups: Cgroups | None,
    ) -> None:
        """`leaders`: our children by pid. `reports`: for the daemon. New ones are added to both."""
        self._state_id = state_id
        self._journal = journal
        self._lanes = lanes
        self._leaders = leaders
        self._reports = reports
        self._cgroups = cgroups
        self.as_users = Starts()
        """Of attempts of other users."""
        self._marked = processes.markers_possible()
        self._elsewhere = False
        """This process is in a job's working directory."""
        self._room_at: float | None = None
        """When to try again; the system had no room."""
        self._room_tries = 0
        self._full_log = ""
        """A log for which the disk had no room."""
        self.held_up = ""
        """Why nothing can be started, if the disk is full; for people."""

    @property
    def due(self) -> float | None:
        """When `fill` has something to do though nothing has happened; monotonic seconds."""
        if self._room_at is not None:
            return self._room_at
        return 0.0 if self._lanes.free else self._lanes.due

    def try_again(self) -> None:
        """A process has ended: there may be room now."""
        if self._room_at is not None:
            self._room_at = 0.0

    def fill(self) -> list[Attempt]:
        """Start what has a place, at most a batch of it. Returns those that have ended instead."""
        if self._room_at is not None and time.monotonic() < self._room_at:
            return []
        if not self._lanes.free and self._lanes.due is None:
            return []
        self._room_at = None
        batch = self._lanes.take(CLAIM_BATCH)
        if self.as_users:
            held = [a for a in batch if a.uid is not None and self.as_users.are_enough(a.uid)]
            self._lanes.hold(held)
            batch = [attempt for attempt in batch if attempt not in held]
        if not batch:
            self.held_up = self._full_log = ""
            return []
        if self._full_log and not spawning.has_room_for(self._full_log):
            self._disk_full(batch, self.held_up)
            return []
        if not self._journal.write(ledger.claimed(batch)):
            self._disk_full(batch, self._journal.full)
            return []
        failed: list[Attempt] = []
        for i, attempt in enumerate(batch):
            try:
                if not self._spawn(attempt):
                    failed.append(attempt)
            except spawning.DiskFull as error:
                self._journal.later(ledger.returned([a.key for a in batch[i:]]))
                self._full_log = error.log
                self._disk_full(batch[i:], str(error))
                return failed
            except spawning.NoRoom as error:
                self._journal.later(ledger.returned([a.key for a in batch[i:]]))
                failed += self._no_room(batch[i:], str(error))
                break
        else:
            self._room_tries = 0
        self.held_up = self._full_log = ""
        return failed

    def told(self, pipe: int) -> None:
        """A process of another user has become its program, or cannot."""
        attempt = self.as_users.told(pipe)
        if attempt is not None:
            self.is_its_program(attempt)

    def is_its_program(self, attempt: Attempt) -> None:
        self.as_users.succeeded(attempt)
        attempt.order = None
        self._reports.append(attempt.line)

    def never_started(self, attempt: Attempt, problem: Problem) -> bool:
        """Its process has ended, and was never its program: so it waits again, or has ended too.
        False: that cannot be written down."""
        if self.as_users.is_worth_a_try(attempt, problem):
            if not self._journal.write(ledger.returned([attempt.key])):
                return False
            attempt.state = QUEUED
            self._leave_cgroup(attempt, for_good=True)
            self._take_marker_off()
            self._lanes.hold([attempt])
        else:
            text = None if attempt.stopped else problem.text
            final = ledger.not_started(attempt.key, text, ledger.now())
            if not self._journal.write(final):
                return False
            self._end(attempt, final)
        del self._leaders[attempt.pid]
        os.waitpid(attempt.pid, 0)
        self.as_users.forget(attempt)
        attempt.pid, attempt.line = 0, ""
        return True

    def leave_directory(self) -> None:
        """Keep no directory busy that no job is in; there are no leaders."""
        if self._elsewhere:
            os.chdir("/")
            self._elsewhere = False

    def _spawn(self, attempt: Attempt) -> bool:
        """False: it has ended instead. Raises NoRoom."""
        order = attempt.order
        assert order is not None
        key = attempt.key
        if self._marked:
            processes.wear_marker(processes.marker(self._state_id, key))
        self._elsewhere = True
        if self._cgroups is not None:
            attempt.cgroup = self._cgroups.enter(key)
        try:
            if order.user is not None:
                pid = self.as_users.begin(attempt, order, order.user)
            else:
                pid = spawning.spawn(order)
        except (spawning.CannotStart, spawning.NoRoom) as error:
            self._leave_cgroup(attempt, for_good=True)
            if isinstance(error, spawning.NoRoom):
                self._take_marker_off()
                raise
            self._end(attempt, ledger.not_started(key, str(error), ledger.now()))
            return False
        self._leave_cgroup(attempt)
        attempt.state = RUNNING
        attempt.pid = pid
        if not self._marked:
            process = processes.read_process(pid)
            attempt.born = process.born if process is not None else None
        attempt.line = ledger.started(key, pid, ledger.now(), attempt.born)
        self._leaders[pid] = attempt
        self._journal.later(attempt.line)
        if not self._marked:
            self._journal.flush()
        if not attempt.starting:
            attempt.order = None
            self._reports.append(attempt.line)
        return True

    def _take_marker_off(self) -> None:
        """Of one that waits again: should another warden start it, this one must not be found when
        its processes are looked for."""
        if self._marked:
            processes.take_marker_off()

    def _leave_cgroup(self, attempt: Attempt, *, for_good: bool = False) -> None:
        """Back to our own, now that it is spawned; `for_good`: it was not."""
        if self._cgroups is not None and attempt.cgroup:
            self._cgroups.leave()
            if for_good:
                remove(attempt.cgroup)
                attempt.cgroup = ""

    def _no_room(self, batch: list[Attempt], problem: str) -> list[Attempt]:
        """Try them again later, before those behind them; in the end say why it can't be done, and
        return them."""
        self._room_tries += 1
        if self._room_tries > NO_ROOM_TRIES and not self._leaders:
            self._room_tries = 0
            for attempt in batch:
                self._end(attempt, ledger.not_started(attempt.key, problem, ledger.now()))
            return batch
        self._put_back(batch, NO_ROOM_SECONDS)
        return []

    def _disk_full(self, batch: list[Attempt], problem: str) -> None:
        """Try them again when there is room, be it in a week."""
        self.held_up = problem
        self._put_back(batch, FULL_DISK_SECONDS)

    def _put_back(self, batch: list[Attempt], seconds: float) -> None:
        self._lanes.give_back(batch)
        self._room_at = time.monotonic() + seconds

    def _end(self, attempt: Attempt, final: str) -> None:
        attempt.end(final)
        self._journal.later(final)
