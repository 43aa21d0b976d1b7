"""Ways to kill a daemon and its wardens, at an instant that nobody has chosen."""

import contextlib
import json
import os
import random
import select
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from tests.daemon_process import TORCD, Daemon
from torcd.executors.local import launching
from torcd.executors.local.executor import MOST_WARDENS
from torcd.executors.warden import processes
from torcd.protocol import manager as m

OTHER_VERSION = (sys.executable, str(Path(__file__).with_name("other_version.py")))

WAYS = {
    "daemon": 30,
    "daemon, and again while it starts": 10,
    "warden": 14,
    "all wardens": 8,
    "warden, then the daemon": 5,
    "both": 22,
    "daemon by SIGTERM": 6,
    "daemon, and one of another version follows": 5,
}
"""And how often, of a hundred."""

STARTING_SECONDS = 1.2
"""In which a daemon that is to die while it starts does."""


class Striker:
    def __init__(self, daemon: Daemon, dice: random.Random) -> None:
        self.struck: Counter[str] = Counter()
        self.kills = 0
        """By SIGKILL, of processes that were there."""
        self.killed_wardens: Counter[int] = Counter()
        """By their numbers."""
        self.doubts: list[tuple[float, str]] = []
        """When a job's end may have become unknowable (seconds since the epoch), and how."""
        self._daemon = daemon
        self._dice = dice

    def strike(self) -> None:
        """Kill somebody; there is a daemon that serves when this returns."""
        [way] = self._dice.choices(list(WAYS), WAYS.values())
        self.struck[way] += 1
        match way:
            case "daemon":
                self._kill_daemon()
            case "daemon, and again while it starts":
                self._kill_daemon()
                self._stumble_over_the_doorstep()
            case "warden":
                self._wait_for_another_warden(self._kill_wardens(1))
                return
            case "all wardens":
                self._wait_for_another_warden(self._kill_wardens())
                return
            case "warden, then the daemon":
                self._kill_wardens(1)
                self._doubt("a daemon that inherited them")
                _let_pass(self._dice.uniform(0, 0.1))
                self._kill_daemon()
            case "both":
                self._kill_both()
            case "daemon by SIGTERM":
                assert self._daemon.stop() == 0
            case _:
                self._kill_daemon()
                self._daemon.program = TORCD if self._daemon.program != TORCD else OTHER_VERSION
        self._daemon.start()

    def pause(self) -> None:
        """Until the next strike."""
        _let_pass(self._dice.choice((0.02, 0.1, 0.5, 1.0)) * self._dice.random())

    def _stumble_over_the_doorstep(self) -> None:
        process = self._daemon.spawn()
        with contextlib.suppress(Exception):
            process.wait(self._dice.uniform(0, STARTING_SECONDS))
        assert process.poll() is None, self._daemon.log.read_text()[-2000:]
        self._kill_daemon()

    def _kill_both(self) -> None:
        """At once: neither sees the other's end."""
        assert self._daemon.process is not None
        self._daemon.process.send_signal(signal.SIGSTOP)
        most = self._dice.choice((1, MOST_WARDENS))
        if self._dice.random() < 0.5:
            self._kill_wardens(most)
            self._kill_daemon()
        else:
            self._kill_daemon()
            self._kill_wardens(most)
        self._doubt("both")

    def _doubt(self, who: str) -> None:
        self.doubts.append((time.time(), who))

    def _kill_daemon(self) -> None:
        self._daemon.kill()
        self.kills += 1

    def _kill_wardens(self, most: int = MOST_WARDENS) -> set[int]:
        """So many of those that there are, any of them; returns their pids when they are gone."""
        found = self._wardens()
        chosen = self._dice.sample(sorted(found), min(most, len(found)))
        for pid in chosen:
            self._kill_warden(pid, found[pid])
        return set(chosen)

    def _kill_warden(self, pid: int, number: int) -> None:
        process = processes.read_process(pid)
        daemon = self._daemon.process
        if process is not None and (daemon is None or process.parent != daemon.pid):
            self._doubt("the warden of an earlier daemon")  # this one does not inherit its jobs
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [], 20)
            os.close(descriptor)
            self.kills += 1
            self.killed_wardens[number] += 1

    def _wardens(self) -> dict[int, int]:
        """Pids and numbers of the living ones, by what they have written down."""
        attempts = self._daemon.state_dir / "attempts"
        found = {}
        for number in range(MOST_WARDENS):
            journal = launching.warden_directory(attempts, number) / "warden.journal"
            try:
                pid = json.loads(journal.read_text().partition("\n")[0])["warden"]
                command = Path(f"/proc/{pid}/cmdline").read_text()
            except (OSError, ValueError):
                continue
            if str(journal.parent) in command.split("\0"):
                found[int(pid)] = number
        return found

    def _wait_for_another_warden(self, dead: set[int]) -> None:
        """The daemon names the first one as soon as it can start jobs."""
        with self._daemon.client() as client:
            while client.call(m.GetStatus()).warden_pid in (None, *dead):
                pass


def _let_pass(seconds: float) -> None:
    """The instant of a kill is to be any: this is no waiting for something to happen."""
    threading.Event().wait(seconds)
