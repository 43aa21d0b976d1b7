"""Take over what earlier wardens left: read their journal, and see what is still there."""

import errno
import os
import resource
import sys
import time

from torcd.executors.warden import cgroups, ledger, processes
from torcd.executors.warden.attempts import Attempts
from torcd.executors.warden.cleaning import Cleaner
from torcd.executors.warden.journal import Entry, Past
from torcd.executors.warden.ledger import ENDING, OVER, RUNNING, Attempt

OTHER_DESCRIPTORS = 64
"""What a warden needs besides those of orphans, and some to spare."""

_UNSEEN = "it ended while neither the daemon nor its warden was there"
_GONE = "the warden's journal was removed: nobody can tell whether it has run, or how it ended"


def take_over(
    past: Past, attempts: Attempts, cleaner: Cleaner, boot_id: str, state_id: int, heir: bool
) -> None:
    """`heir`: our parent, the daemon, was the parent of the last warden too, has inherited all its
    children, and has reaped none that is an attempt's leader. Then a claim without a trace of a
    process was never carried out; it is forgotten, and may be made again."""
    if past.boot_id != boot_id:
        for key, entry in past.entries.items():
            attempts.inherit(_of_another_boot(key, entry), None)
        return
    cleaner.strangers = {past.warden_pid}
    if past.is_anew:
        cleaner.strangers = _that_may_be_wardens()
    marked = processes.markers_possible()
    in_cgroups = cgroups.of_attempts(past.cgroups) if past.cgroups else {}
    uids = {processes.low_bits(key): entry.uid for key, entry in past.entries.items()}
    by_marker = cleaner.leaders_by_key(uids) if past.entries else {}
    _allow_descriptors(sum(not entry.final for entry in past.entries.values()))
    for key, entry in past.entries.items():
        attempt = Attempt(key, None, None)
        attempt.state, attempt.orphan = ENDING, True
        attempt.line, attempt.final = entry.started, entry.final
        attempt.uid = entry.uid
        if ledger.never_ran(entry.final):
            attempt.line = ""  # it had a process, which never became its program
        attempt.cgroup = in_cgroups.get(key, "")
        attempt.frozen = entry.frozen
        if not entry.final:
            pid = _leader(key, entry, by_marker, state_id if marked else None)
            if not (pid and _adopt(attempt, pid, marked)):
                if heir and not entry.pid:
                    continue
                problem = _GONE if past.is_anew else _UNSEEN
                attempt.final = ledger.lost(key, problem, _now())
        attempts.inherit(attempt, entry.lane)


def clear_cgroups(directories: set[str], attempts: Attempts, leave_children: bool) -> None:
    """Remove those of attempts that nobody knows any more, with what has outlived them."""
    in_use = attempts.in_cgroups
    for directory in filter(None, directories):
        for path in cgroups.of_attempts(directory).values():
            if path not in in_use and not cgroups.remove(path) and not leave_children:
                cgroups.kill(path)  # the next warden removes it


def _allow_descriptors(orphans: int) -> None:
    """Each takes one, as none does that a warden has started itself. Jobs inherit the limit, so it
    is raised only where it must be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = orphans + OTHER_DESCRIPTORS
    if soft < needed:
        most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _that_may_be_wardens() -> set[int]:
    """Where no journal tells who they were: what runs our program, and what is over. The daemon's
    children are not among those; it has buried its warden."""
    return {
        process.pid
        for process in processes.all_processes().values()
        if processes.runs(process.pid, sys.argv[0])
        or (process.over and process.parent != os.getppid())
    }


def _of_another_boot(key: int, entry: Entry) -> Attempt:
    attempt = Attempt(key, None, None)
    attempt.state = OVER
    attempt.line = entry.started
    attempt.final = entry.final or ledger.lost(
        key, "the machine was restarted while it ran", _now()
    )
    return attempt


def _leader(key: int, entry: Entry, by_marker: dict[int, int], state_id: int | None) -> int:
    """The pid of the attempt's leader if it is still there, be it unreaped; 0 if not. A process
    that got its pid later is not taken for it."""
    if not entry.pid or not processes.may_be_of(entry.pid, entry.uid):
        return by_marker.get(processes.low_bits(key), 0)
    if state_id is not None and entry.born is None:
        mark = processes.read_marker(entry.pid)
        return entry.pid if mark == processes.marker(state_id, key) else 0
    process = processes.read_process(entry.pid)
    return entry.pid if process is not None and process.born == entry.born else 0


def _adopt(attempt: Attempt, pid: int, marked: bool) -> bool:
    """Have it watched; False: it has just gone. Raises OSError if it is there and can't be."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise
        return False
    process = processes.read_process(pid)
    if process is None:
        os.close(pidfd)
        return False
    attempt.pidfd, attempt.pid, attempt.born = pidfd, pid, process.born
    attempt.state = RUNNING
    if not attempt.line:
        attempt.line = ledger.started(attempt.key, pid, _now(), None if marked else process.born)
    return True


def _now() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000
