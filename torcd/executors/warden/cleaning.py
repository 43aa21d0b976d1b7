"""End an attempt's processes, all of them: when it is stopped, and what it left when it has ended.

Our own attempts. Whatever a leader starts stays our descendant, for we are a subreaper: what loses
its parent becomes our child (a *stray*). So an attempt is over when its leader is reaped and no
stray is its own; each stray's end is a SIGCHLD, upon which we look again, and nothing can slip out.

Orphans. The descendants of another warden's attempts fall to others. They are found by marker among
all processes, again and again at short intervals until none is left.

An attempt that has a cgroup is over when that is empty, too. All that is in it gets SIGKILL from
the kernel at once; then we look for what has moved itself out, as if there were none.

A process that this user may not signal (a job ran something setuid) is let go, unless it is in the
attempt's cgroup.

A stray whose marker names none of our attempts is attributed by its session; if that leads nowhere
either (it was started by a torcd that runs inside a job, or changed its limits), it is let live
while any attempt runs, for it may belong to that.
"""

import os
import signal
import time

from torcd.executors.warden import cgroups, processes
from torcd.executors.warden.ledger import ENDING, RUNNING, Attempt
from torcd.executors.warden.others import Others
from torcd.executors.warden.processes import Process

PASSES = 20
"""Looks at all processes in a row, as long as each finds new ones: a program that forks all the
time is hit in the first few, and the next turn of the loop goes on."""
LOOK_AGAIN_SECONDS = 0.02
"""How long a killed orphan may take until we look again."""


class Cleaner:
    def __init__(self, state_id: int, marked: bool, leave_children: bool, others: Others) -> None:
        self._state_id = state_id
        self._others = others
        self._children = processes.Children()
        self._marked = marked
        self.leave_children = leave_children
        self.strangers: set[int] = set()
        """Processes that have the marker of an attempt and are none of it: earlier wardens."""
        self.due: float | None = None
        """When `clean` is to be called though nothing has happened; monotonic seconds."""
        self._stopping: list[Attempt] = []
        self._graces: dict[int, Attempt] = {}
        self._condemned: dict[int, Attempt] = {}
        self._ending: dict[int, Attempt] = {}
        """Our own, leader reaped."""
        self._owners: dict[int, int | None] = {}
        """The attempt (lower bits of its key) of each stray."""
        self._untouchable: set[tuple[int, int]] = set()
        self._look = False
        self.is_childless = False
        """We have just been told that we have no child: no stray either."""

    def stop(self, attempt: Attempt, grace_seconds: float | None) -> None:
        """SIGKILL for all of it, now or after the grace time; a later call can only shorten it."""
        attempt.stopped = True
        if not grace_seconds or grace_seconds <= 0:
            self.condemn(attempt)
            return
        deadline = time.monotonic() + grace_seconds
        if attempt.deadline is not None:
            attempt.deadline = min(attempt.deadline, deadline)
        elif attempt.key not in self._condemned:
            attempt.deadline = deadline
            self._graces[attempt.key] = attempt
            self._stopping.append(attempt)

    def condemn(self, attempt: Attempt) -> None:
        """SIGKILL for what is left of it."""
        attempt.deadline = None
        self._graces.pop(attempt.key, None)
        self._condemned[attempt.key] = attempt

    def leader_ended(self, attempt: Attempt) -> None:
        self._ending[attempt.key] = attempt

    def child_gone(self, pid: int) -> None:
        self._owners.pop(pid, None)
        self._look = True

    def leaders_by_key(self, uids: dict[int, int | None]) -> dict[int, int]:
        """The leaders of all attempts that can be found by marker: lower bits of the key to pid.
        `uids`: of the users whom they were started as."""
        found: dict[int, Process] = {}
        for process in self.all_processes().values():
            if process.session == process.pid and process.pid not in self.strangers:
                low = processes.key_of(processes.read_marker(process.pid), self._state_id)
                if (
                    low is not None
                    and (low not in found or process.born < found[low].born)
                    and processes.may_be_of(process.pid, uids.get(low))
                ):
                    found[low] = process
        return {low: process.pid for low, process in found.items()}

    def all_processes(self) -> dict[int, Process]:
        """All but other wardens: neither they nor what descends from them is an attempt's here."""
        # The processes first: a warden that is among them is not missed if it has just started.
        found = processes.all_processes()
        for pid in self._others.pids():
            found.pop(pid, None)
        return found

    def clean(self, leaders: dict[int, Attempt]) -> list[Attempt]:
        """Do what is due; the attempts of which nothing is left now. `leaders`: our children by
        pid."""
        if not (self._ending or self._condemned or self._graces or self._look):
            return []
        if not (self._condemned or self._graces or self.due) and (
            self.is_childless or self._children.are(len(leaders))
        ):
            # Nobody is to be ended, and there are no strays: nothing is left of any but a cgroup.
            self._look = False
            over = [attempt for attempt in self._ending.values() if not attempt.cgroup]
            if len(over) == len(self._ending):
                self._ending.clear()
                return over
        now = time.monotonic()
        self.due = None
        if self._stopping:
            self._ask_to_end(leaders)
        for attempt in [a for a in self._graces.values() if (a.deadline or 0) <= now]:
            self.condemn(attempt)
        doomed, held = self._strays(leaders)
        left = self._kill(doomed, leaders) if doomed or self._condemned else set()
        over = [
            attempt
            for key, attempt in self._ending.items()
            if key not in held and self._is_vacated(attempt, now)
        ]
        for attempt in list(self._condemned.values()):
            if not attempt.orphan or attempt.state == RUNNING:
                del self._condemned[attempt.key]  # the end of its leader brings us back
            elif attempt.key not in left and self._is_vacated(attempt, now):
                over.append(attempt)
            else:
                self.due = now + LOOK_AGAIN_SECONDS
        for attempt in over:
            self._ending.pop(attempt.key, None)
            self._condemned.pop(attempt.key, None)
            self._graces.pop(attempt.key, None)
        deadlines = [a.deadline for a in self._graces.values() if a.deadline is not None]
        self.due = min([*deadlines, self.due] if self.due is not None else deadlines, default=None)
        return over

    def _is_vacated(self, attempt: Attempt, now: float) -> bool:
        """Whether nobody is in its cgroup, if it has one; then its figures are taken, and it is
        gone. Otherwise see to it."""
        if not attempt.cgroup:
            return True
        usage = cgroups.usage(attempt.cgroup)
        is_left_alone = self.leave_children and not attempt.stopped
        if cgroups.remove(attempt.cgroup) or is_left_alone:
            attempt.usage, attempt.cgroup = usage, ""
            return True
        if attempt.deadline is None:
            cgroups.kill(attempt.cgroup)
            self.due = now + LOOK_AGAIN_SECONDS
        return False

    def _strays(self, leaders: dict[int, Attempt]) -> tuple[set[int], set[int]]:
        """The strays that must die, and the ended attempts that are held up by strays."""
        self._look = False
        doomed: set[int] = set()
        held: set[int] = set()
        children = self._children.pids()
        if len(children) == len(leaders):
            return doomed, held
        others = self._others.pids()
        known = [*leaders.values(), *self._ending.values()]
        by_low = {processes.low_bits(attempt.key): attempt for attempt in known}
        for pid in children:
            if pid in leaders or pid in others:
                continue
            owner = self._owner(pid, known)
            attempt = by_low.get(owner) if owner is not None else None
            if attempt is None:
                if not leaders and not self.leave_children:
                    doomed.add(pid)
            elif attempt.state == ENDING and (attempt.stopped or not self.leave_children):
                if self._is_untouchable(pid):
                    continue
                held.add(attempt.key)
                if attempt.deadline is None:
                    doomed.add(pid)
        return doomed, held

    def _owner(self, pid: int, known: list[Attempt]) -> int | None:
        if pid not in self._owners:
            owner = processes.key_of(processes.read_marker(pid), self._state_id)
            if owner is None:
                process = processes.read_process(pid)
                for attempt in known:
                    if process is not None and process.session == attempt.pid:
                        owner = processes.low_bits(attempt.key)
            self._owners[pid] = owner
        return self._owners[pid]

    def _is_untouchable(self, pid: int) -> bool:
        if not self._untouchable:
            return False
        process = processes.read_process(pid)
        return process is not None and (pid, process.born) in self._untouchable

    def _ask_to_end(self, leaders: dict[int, Attempt]) -> None:
        stopping, self._stopping = self._stopping, []
        all_processes = self.all_processes()
        members = self.members(stopping, all_processes, leaders)
        # The oldest first: a shell must have its signal before its children's ends let it go on.
        pids = sorted(
            set().union(*members.values()), key=lambda pid: (all_processes[pid].born, pid)
        )
        for pid in pids:
            for number in (signal.SIGTERM, signal.SIGCONT):  # a stopped one must wake to end
                processes.send_signal(all_processes[pid], number)
        for attempt in stopping:
            if attempt.frozen and attempt.cgroup:
                cgroups.freeze(attempt.cgroup, False)
            attempt.frozen = False

    def _kill(self, doomed: set[int], leaders: dict[int, Attempt]) -> set[int]:
        """Kill until a look finds nothing new; the keys of condemned attempts that were still seen
        in the last look."""
        condemned = [
            attempt
            for attempt in self._condemned.values()
            if attempt.state == RUNNING or attempt.stopped or not self.leave_children
        ]
        for attempt in condemned:
            if attempt.cgroup:
                cgroups.kill(attempt.cgroup)
        seen: set[tuple[int, int]] = set()
        members: dict[int, set[int]] = {}
        for _ in range(PASSES):
            all_processes = self.all_processes()
            members = self.members(condemned, all_processes, leaders)
            targets = processes.with_descendants(doomed & all_processes.keys(), all_processes)
            targets.update(*members.values())
            fresh = [
                process
                for pid in targets
                if not (process := all_processes[pid]).over and (pid, process.born) not in seen
            ]
            if not fresh:
                break
            # The oldest first: a shell would see its child killed, and exit with 137 by itself.
            fresh.sort(key=lambda process: (process.born, process.pid))
            for process in fresh:
                identity = (process.pid, process.born)
                seen.add(identity)
                if not processes.send_signal(process, signal.SIGKILL):
                    self._untouchable.add(identity)
        return {key for key, pids in members.items() if pids}

    def members(
        self,
        attempts: list[Attempt],
        all_processes: dict[int, Process],
        leaders: dict[int, Attempt],
    ) -> dict[int, set[int]]:
        """By attempt's key, the pids of its living processes that may be signalled."""
        roots: dict[int, set[int]] = {processes.low_bits(a.key): set() for a in attempts}
        if attempts and self._marked:
            for pid in all_processes:
                low = processes.key_of(processes.read_marker(pid), self._state_id)
                if low in roots:
                    roots[low].add(pid)
        for pid, low in self._owners.items():
            if low in roots and pid in all_processes:
                roots[low].add(pid)
        for attempt in attempts:
            if attempt.cgroup:
                inside = cgroups.pids(attempt.cgroup) & all_processes.keys()
                roots[processes.low_bits(attempt.key)] |= inside
        none = self.strangers | {os.getpid()}
        members = {}
        for attempt in attempts:
            start = roots[processes.low_bits(attempt.key)]
            leader = all_processes.get(attempt.pid)
            if leader is not None and (
                attempt.pid in leaders if not attempt.orphan else leader.born == attempt.born
            ):
                start.add(attempt.pid)
            members[attempt.key] = {
                pid
                for pid in processes.with_descendants(start - none, all_processes) - none
                if not (process := all_processes[pid]).over
                and (pid, process.born) not in self._untouchable
            }
        return members
