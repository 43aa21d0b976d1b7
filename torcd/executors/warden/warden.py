"""The warden at work: orders in, processes out, reports back.

One thread, one loop, no timers but while a grace time runs, the system has no room for another
process, or reports are held back for an instant. A turn of the loop takes what has come (ends of
children, ends of orphans, lines of the daemon), and then puts things in order: ended attempts are
cleaned up, free places are filled, and last the daemon is told, in one line.
"""

import json
import os
import select
import socket
import time

from torcd import __version__
from torcd.executors.warden import processes
from torcd.executors.warden.attempts import Attempts
from torcd.executors.warden.cgroups import Cgroups
from torcd.executors.warden.channel import PROTOCOL, Channel
from torcd.executors.warden.cleaning import Cleaner
from torcd.executors.warden.direct import Environment
from torcd.executors.warden.journal import Journal, say
from torcd.executors.warden.ledger import Order
from torcd.executors.warden.libc import take_child_signals
from torcd.executors.warden.orphans import Orphans
from torcd.executors.warden.others import Others
from torcd.executors.warden.succession import clear_cgroups, take_over

TYPE_CHECKING = False  # as in typing, whose import would cost memory
if TYPE_CHECKING:
    from torcd.executors.warden.ledger import Message, OrderMessage

SYNC_BATCH = 512
"""Reports in one line when a daemon is told everything: a line stays below some 100 KiB."""

SIGNAL_BYTES = 128
"""What tells of a signal; of several children's ends there is one."""

GATHER_SECONDS = 0.080
"""How far apart the instants are at which reports are told that are not urgent: several short jobs
are told in one line, and share a commit, and so do the start and the end of one. They are the same
for all wardens of the machine, so that these share it as well. It is below what jobs are handed
over ahead for (240 ms); should a place become empty all the same, it is told at once."""

LEAST_GATHER_SECONDS = 0.025
"""How long reports wait for others at least: an instant that is nearer passes without them. Where
jobs need what others make, they are told some 20 ms after the last ones anyway."""


def telling_time(now: float) -> float:
    """When reports are told that begin to gather now; monotonic seconds, which all processes count
    from the same instant."""
    return ((now + LEAST_GATHER_SECONDS) // GATHER_SECONDS + 1) * GATHER_SECONDS


class Warden:
    def __init__(
        self,
        directory: str,
        boot_id: str,
        state_id: int,
        *,
        leave_children: bool,
        heir: bool,
        cgroups: Cgroups | None,
    ) -> None:
        """Takes over from the last one; the caller has the directory's lock."""
        if processes.key_of(processes.read_marker(os.getpid()), state_id) is not None:
            # An attempt has started the daemon. We have others, and are no part of it.
            processes.take_marker_off()
        self._poller = select.epoll()
        self._child_signals = take_child_signals()
        self._poller.register(self._child_signals, select.EPOLLIN)
        self._orphans = Orphans(self._poller)
        self._cleaner = Cleaner(
            state_id, processes.markers_possible(), leave_children, Others(directory)
        )
        self._place = cgroups
        self._cgroups = cgroups.directory if cgroups is not None else ""
        journal = Journal(directory, boot_id, state_id, self._cgroups)
        past = journal.read()
        self._attempts = Attempts(state_id, journal, self._cleaner, self._orphans, cgroups)
        self._attempts.starter.as_users.poller = self._poller
        take_over(past, self._attempts, self._cleaner, boot_id, state_id, heir)
        clear_cgroups({past.cgroups, self._cgroups}, self._attempts, leave_children)
        journal.rewrite(self._attempts.facts())
        self._environments: dict[str, Environment] = {}
        self._retiring = False
        self._is_asked = False
        """The daemon wants to know now what there is, be it nothing."""
        self._to_tell_at: float | None = None
        """When the reports there are have waited for long enough; monotonic seconds."""
        self._channel = Channel(self._poller, directory)
        self._told_held_up = ""

    def serve(self, first: socket.socket) -> None:
        """Work until there is no daemon and nothing to do. `first`: the daemon that started us."""
        self._attempts.settle()
        if self._channel.take(first):
            self._greet()
        while not self._done():
            for fd, events in self._poller.poll(self._timeout()):
                self._attend(fd, events)
            self._attempts.reaper.reap()
            self._attempts.settle()
            self._tell()
        self._attempts.rewrite_journal()
        self._channel.close()
        if self._place is not None:
            self._place.close()

    def _timeout(self) -> float | None:
        """Seconds until something is due that no event tells; None: nothing is."""
        due = self._attempts.due
        if self._to_tell_at is not None:
            due = self._to_tell_at if due is None else min(due, self._to_tell_at)
        return None if due is None else max(0.0, due - time.monotonic())

    def _done(self) -> bool:
        if self._channel.connection is None:
            return self._attempts.at_rest
        return self._retiring and self._attempts.none

    def _attend(self, fd: int, events: int) -> None:
        connection = self._channel.connection
        if fd == self._child_signals:
            os.read(fd, SIGNAL_BYTES)
        elif fd in self._attempts.starter.as_users:
            self._attempts.starter.told(fd)
        elif fd in self._orphans:
            end = self._orphans.ended(fd, self._channel.daemon_pid)
            if end is not None:
                self._attempts.orphan_ended(end[0].key, end[1])
        elif fd == self._channel.listener.fileno():
            if self._channel.accept():
                self._orphans.daemon_left()
                self._greet()
        elif connection is not None and fd == connection.fileno() and events != select.EPOLLOUT:
            self._listen()

    # The daemon

    def _greet(self) -> None:
        """Tell a new daemon who we are and all we know."""
        self._environments.clear()  # it gives what it needs
        self._attempts.forget_idle_shares()  # of which it will not know
        self._attempts.write_down()
        self._attempts.take_reports()
        self._to_tell_at = None
        self._is_asked = False
        self._told_held_up = ""
        hello = {
            "protocol": PROTOCOL,
            "pid": os.getpid(),
            "version": __version__,
            "cgroups": self._cgroups or None,
            "takes_after": True,
            "takes_shares": True,
        }
        self._channel.send(json.dumps({"hello": hello}))
        reports = self._attempts.all_reports()
        for i in range(0, len(reports), SYNC_BATCH):
            self._channel.send('{"reports":[' + ",".join(reports[i : i + SYNC_BATCH]) + "]}")
        synced = {
            "orphans": self._orphans.pids(),
            "queued": self._attempts.untold,
            "lanes": self._attempts.lanes,
        }
        self._channel.send(json.dumps({"synced": synced}))
        self._channel.flush()

    def _tell(self) -> None:
        """What is new, once it is urgent or has waited for long enough: the daemon needs the
        processor too."""
        if not (self._attempts.reports or self._is_asked):
            self._attempts.write_down()
        elif self._is_asked or self._attempts.urgent or self._has_waited():
            self._attempts.write_down()
            # What waits in other lanes is no reason for letting an empty place wait.
            waiting = 0 if self._attempts.has_empty_place else self._attempts.waiting
            reports = ",".join(self._attempts.take_reports())
            self._channel.send('{"reports":[%s],"waiting":%d}' % (reports, waiting))
            self._to_tell_at = None
            self._is_asked = False
        if self._attempts.starter.held_up != self._told_held_up:
            self._told_held_up = self._attempts.starter.held_up
            self._channel.send(json.dumps({"held_up": self._told_held_up}))
        had = self._channel.connection
        self._channel.flush()
        if had is not None and self._channel.connection is None:
            self._orphans.daemon_left()

    def _has_waited(self) -> bool:
        now = time.monotonic()
        if self._to_tell_at is None:
            self._to_tell_at = telling_time(now)
        return now >= self._to_tell_at

    def _listen(self) -> None:
        lines = self._channel.receive()
        try:
            for line in lines or ():
                self._obey(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            # Not what the error says: that may be the line itself, and environments are in it.
            say(f"a daemon sent what is no order ({type(error).__name__})")
            lines = None
        if lines is None:
            self._channel.disconnect()
            self._orphans.daemon_left()

    def _obey(self, message: "Message") -> None:
        """Unknown keys are from a newer daemon, which knows that we don't know them."""
        if "hello" in message:
            self._cleaner.leave_children = message["hello"]["leave_children"]
        if "environment" in message:
            name, variables = message["environment"]
            self._environments.setdefault(name, Environment(variables))
        if "forget_environment" in message:
            self._environments.pop(message["forget_environment"], None)
        if "shares" in message:
            shared = [
                (lane, token, self._attempts.share(lane, share))
                for lane, share, token in message["shares"]
            ]
            self._channel.send(json.dumps({"shared": shared}))
        for order in message.get("start", ()):
            self._start(order)
        for key, grace_seconds in message.get("stop", ()):
            self._attempts.stop(key, grace_seconds)
        for key in message.get("revoke", ()):
            self._attempts.revoke(key)
        if "withdraw" in message:
            withdrawn = self._attempts.withdraw(message["withdraw"])
            self._channel.send(json.dumps({"withdrawn": withdrawn}))
        for key in message.get("freeze", ()):
            self._attempts.freeze(key)
        for key in message.get("thaw", ()):
            self._attempts.thaw(key)
        for key, code in message.get("settled", ()):
            self._attempts.orphan_ended(key, code)
        if "acknowledge" in message:
            self._attempts.acknowledge(message["acknowledge"])
        if "tell" in message:
            # Else what it was told on the way is the answer.
            self._is_asked = not self._attempts.awaits_decision
        if "retire" in message:
            self._retiring = True

    def _start(self, order: "OrderMessage") -> None:
        base = self._environments.get(order["base"])
        if base is None:
            problem = f"its environment {order['base']!r} was not given to the warden"
            self._attempts.refuse(order["key"], problem)
        else:
            self._attempts.order(
                order["key"], order["lane"], order["lane_limit"], Order(order, base)
            )
