"""The warden at work: orders in, processes out, reports back.

One thread, one loop, no timers but while a grace time runs or the system has no room for another
process. A turn of the loop takes what has come (signals of children, lines of the daemon, ends of
orphans), and then puts things in order: ended attempts are cleaned up, free places are filled,
and last the daemon is told, in one line.

What may be killed between any two steps, and what holds then:

* An attempt is claimed in the journal before it is spawned; nobody starts a claimed one again,
  but who knows that it never was spawned (see `journal`).
* A child's status is read without reaping it, written down, and then it is reaped. So a successor
  finds the status in the journal or the child with our parent, the daemon, who is told to wait for
  it. An ended attempt is kept until the daemon has acknowledged it.
* What an attempt leaves behind becomes our child, since we are a subreaper. The attempt's final
  report waits until none of it is left.
"""

import json
import os
import select
import signal
import socket
import sys
import time

from torcd import __version__
from torcd.executors.warden import ledger, orphans, processes, spawning
from torcd.executors.warden.channel import PROTOCOL, Channel
from torcd.executors.warden.cleaning import Cleaner
from torcd.executors.warden.journal import Entry, Journal
from torcd.executors.warden.ledger import ENDING, OVER, QUEUED, RUNNING, Attempt, Lane, Order

TYPE_CHECKING = False  # as in typing, whose import would cost memory
if TYPE_CHECKING:
    from torcd.executors.warden.ledger import Message, OrderMessage

CLAIM_BATCH = 16
"""Claims in one write. More saves little, and all of a batch are lost if warden and daemon die at
once in the middle of it."""
SYNC_BATCH = 512
"""Facts in one line when a daemon is told everything: a line stays below some 100 KiB."""
NO_ROOM_SECONDS = 0.25
"""How long to wait before another try when the system has no room for a process."""
NO_ROOM_TRIES = 240
"""How often, with nothing of ours running that could make room: a minute."""


class Warden:
    def __init__(self, directory: str, boot_id: str, state_id: int, leave_children: bool) -> None:
        self._boot_id = boot_id
        self._state_id = state_id
        self._marked = processes.markers_possible()
        self._poller = select.epoll()
        self._wakeup = _wake_on_child()
        self._poller.register(self._wakeup, select.EPOLLIN)
        self._journal = Journal(directory, boot_id, state_id)
        self._channel = Channel(self._poller, directory)
        self._attempts: dict[int, Attempt] = {}
        self._lanes: dict[int, Lane] = {}
        self._lane_of: dict[int, int] = {}
        """The lane's number of each attempt that is not over."""
        self._free: set[int] = set()
        """Lanes that may have a place for the next."""
        self._leaders: dict[int, Attempt] = {}
        """Our children, by pid."""
        self._orphans: dict[int, Attempt] = {}
        """Running attempts of earlier wardens, by pidfd."""
        self._unsettled: dict[int, Attempt] = {}
        """Orphans that ended on a kernel that tells nobody but their parent, by pidfd."""
        self._environments: dict[str, dict[str, str]] = {}
        self._cleaner = Cleaner(state_id, self._marked, leave_children)
        self._keeps_status: bool | None = None
        self._reports: list[str] = []
        self._acknowledged: list[int] = []
        self._room_at: float | None = None
        self._room_tries = 0
        self._retiring = False

    # Life

    def recover(self, heir: bool) -> None:
        """Take over what earlier wardens left. `heir`: our parent, the daemon, was the parent of
        the last one too, has inherited all its children, and has reaped none of its attempts."""
        past = self._journal.read()
        same_boot = past.boot_id == self._boot_id and past.state_id == self._state_id
        self._cleaner.strangers = {past.warden_pid} if same_boot else set()
        now = _now()
        by_marker = self._cleaner.leaders_by_key() if same_boot and past.entries else {}
        for key, entry in past.entries.items():
            attempt = Attempt(key, None, None)
            attempt.state, attempt.orphan = ENDING, True
            attempt.line, attempt.final = entry.started, entry.final
            if entry.final:
                pass
            elif not same_boot:
                attempt.final = ledger.lost(key, "the machine was restarted while it ran", now)
            elif (pid := self._surviving_leader(key, entry, by_marker)) and self._adopt(
                attempt, pid, entry.claim_lane, now
            ):
                self._attempts[key] = attempt
                continue
            elif heir and not entry.pid:
                continue  # never spawned: forget the claim, and it may be started
            else:
                attempt.final = ledger.lost(
                    key, "it ended while neither the daemon nor its warden was there", now
                )
            self._attempts[key] = attempt
            if same_boot:
                self._cleaner.condemn(attempt)
            else:
                attempt.state = OVER
        self._journal.rewrite(self._facts())

    def _surviving_leader(self, key: int, entry: Entry, by_marker: dict[int, int]) -> int:
        """The pid of the attempt's leader, if it is still there; 0 if not."""
        if not entry.pid:
            return by_marker.get(processes.low_bits(key), 0)
        if self._marked and entry.born is None:
            mark = processes.read_marker(entry.pid)
            return entry.pid if mark == processes.marker(self._state_id, key) else 0
        process = processes.read_process(entry.pid)
        return entry.pid if process is not None and process.born == entry.born else 0

    def _adopt(self, attempt: Attempt, pid: int, lane: int | None, now: int) -> bool:
        """Watch a process that another warden started; False: it has just gone."""
        try:
            attempt.pidfd = os.pidfd_open(pid)
        except OSError:
            return False
        process = processes.read_process(pid)
        if process is None:
            os.close(attempt.pidfd)
            return False
        attempt.pid, attempt.born, attempt.state = pid, process.born, RUNNING
        if not attempt.line:
            attempt.at = now
            attempt.line = ledger.started(
                attempt.key, pid, now, None if self._marked else process.born
            )
        if self._keeps_status is None:
            self._keeps_status = orphans.kernel_keeps_status()
        self._orphans[attempt.pidfd] = attempt
        self._poller.register(attempt.pidfd, orphans.end_of(self._keeps_status))
        if lane is not None:
            attempt.lane = self._lanes.setdefault(lane, Lane(0))
            attempt.lane.running += 1
            self._lane_of[attempt.key] = lane
        return True

    def serve(self, first: socket.socket) -> None:
        """Work until there is no daemon and nothing to do. `first`: the daemon that started us."""
        if self._channel.take(first):
            self._greet()
        while not self._done():
            self._settle()
            for fd, events in self._poller.poll(self._timeout()):
                self._attend(fd, events)
            self._reap()
        self._rewrite_journal()
        self._channel.close()

    def _done(self) -> bool:
        if self._channel.connection is None:
            return all(attempt.state == OVER for attempt in self._attempts.values())
        return self._retiring and not self._attempts

    def _attend(self, fd: int, events: int) -> None:
        connection = self._channel.connection
        if fd == self._wakeup:
            os.read(self._wakeup, 4096)
        elif fd in self._orphans:
            self._orphan_ended(fd)
        elif fd == self._channel.listener.fileno():
            if self._channel.accept():
                self._daemon_left()
                self._greet()
        elif connection is not None and fd == connection.fileno() and events != select.EPOLLOUT:
            self._listen()

    def _timeout(self) -> float | None:
        """Seconds until something is due that no event will tell; None: nothing is."""
        due = [t for t in (self._cleaner.due, self._room_at) if t is not None]
        if self._free and self._room_at is None:
            return 0.0
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _settle(self) -> None:
        """What is to be done after anything has happened, in the order that serves jobs first."""
        for attempt in self._cleaner.clean(self._leaders):
            self._over(attempt)
        self._fill()
        self._journal.flush()
        if self._reports:
            self._channel.send('{"reports":[' + ",".join(self._reports) + "]}")
            self._reports.clear()
        self._channel.flush()
        if self._channel.connection is None and self._unsettled:
            self._daemon_left()

    # Starting

    def _fill(self) -> None:
        """Start what has a place, at most a batch of it."""
        if not self._free or (self._room_at is not None and time.monotonic() < self._room_at):
            return
        self._room_at = None
        batch: list[Attempt] = []
        for number in list(self._free):
            lane = self._lanes[number]
            while len(batch) < CLAIM_BATCH and (attempt := lane.next()) is not None:
                batch.append(attempt)
            if len(batch) == CLAIM_BATCH:
                break
            self._free.discard(number)
            if lane.empty:
                del self._lanes[number]
        if not batch:
            return
        if not self._journal.write(ledger.claimed(batch, self._lane_of)):
            self._no_room(batch, "the disk of the state directory is full")
            return
        for i, attempt in enumerate(batch):
            try:
                self._spawn(attempt)
            except spawning.NoRoom as error:
                self._no_room(batch[i:], str(error))
                break
        else:
            self._room_tries = 0
        os.chdir("/")  # keep no job's directory busy

    def _spawn(self, attempt: Attempt) -> None:
        order = attempt.order
        assert order is not None
        key = attempt.key
        if self._marked:
            processes.wear_marker(processes.marker(self._state_id, key))
        try:
            environment = {**order.base, **order.env} if order.env else order.base
            pid = spawning.spawn(order.argv, environment, order.cwd, order.stdout, order.stderr)
        except spawning.CannotStart as error:
            self._end(attempt, ledger.not_started(key, str(error), _now()))
            self._over(attempt)
            return
        attempt.order = None
        attempt.state = RUNNING
        attempt.pid = pid
        if not self._marked:
            process = processes.read_process(pid)
            attempt.born = process.born if process is not None else None
        attempt.line = ledger.started(key, pid, _now(), attempt.born)
        self._leaders[pid] = attempt
        self._journal.later(attempt.line)
        self._reports.append(attempt.line)

    def _no_room(self, batch: list[Attempt], problem: str) -> None:
        """Try them again later, before those behind them; in the end say why it can't be done."""
        self._room_tries += 1
        if self._room_tries > NO_ROOM_TRIES and not self._leaders:
            self._room_tries = 0
            for attempt in batch:
                self._end(attempt, ledger.not_started(attempt.key, problem, _now()))
                self._over(attempt)
            return
        for attempt in reversed(batch):
            if attempt.lane is not None:
                attempt.lane.give_back(attempt)
                self._free.add(self._lane_of[attempt.key])
        self._journal.later(ledger.returned([attempt.key for attempt in batch]))
        self._room_at = time.monotonic() + NO_ROOM_SECONDS

    # Ending

    def _reap(self) -> None:
        while True:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if info is None:
                return
            attempt = self._leaders.pop(info.si_pid, None)
            if attempt is None:
                os.waitpid(info.si_pid, 0)
                self._cleaner.child_gone(info.si_pid)
                continue
            code = info.si_status if info.si_code == os.CLD_EXITED else -info.si_status
            now = _now()
            self._journal.insist(ledger.exited(attempt.key, code, now))
            usage = os.wait4(info.si_pid, 0)[2]
            self._end(
                attempt,
                ledger.exited(
                    attempt.key,
                    code,
                    now,
                    usage.ru_utime + usage.ru_stime,
                    usage.ru_maxrss * 1024,
                ),
            )
            self._cleaner.leader_ended(attempt)
            if self._room_at is not None:
                self._room_at = time.monotonic()

    def _orphan_ended(self, pidfd: int) -> None:
        attempt = self._orphans.pop(pidfd)
        self._poller.unregister(pidfd)
        code = orphans.exit_code(pidfd)
        if code is None and self._channel.daemon_pid:
            process = processes.read_process(attempt.pid)
            if process is not None and process.parent == self._channel.daemon_pid:
                self._unsettled[pidfd] = attempt  # the daemon can tell, and will
                return
        self._orphan_settled(attempt, code)

    def _orphan_settled(self, attempt: Attempt, code: int | None) -> None:
        self._orphans.pop(attempt.pidfd, None)
        self._unsettled.pop(attempt.pidfd, None)
        os.close(attempt.pidfd)  # leaves epoll by itself
        attempt.pidfd = -1
        if code is None:
            problem = "its warden died, and this kernel (before 6.15) does not tell how it ended"
            self._end(attempt, ledger.lost(attempt.key, problem, _now()))
        else:
            self._end(attempt, ledger.exited(attempt.key, code, _now()))
        self._cleaner.condemn(attempt)

    def _end(self, attempt: Attempt, final: str) -> None:
        attempt.state = ENDING
        attempt.order = None
        attempt.final = final
        self._journal.later(final)

    def _over(self, attempt: Attempt) -> None:
        """Nothing of it is left: its place is free, and the daemon may know."""
        attempt.state = OVER
        if attempt.lane is not None:
            attempt.lane.running -= 1
            attempt.lane = None
            self._free.add(self._lane_of.pop(attempt.key))
        self._reports.append(attempt.final)

    # The daemon

    def _greet(self) -> None:
        """Tell a new daemon who we are and all we know."""
        self._environments.clear()
        self._reports.clear()
        hello = {
            "protocol": PROTOCOL,
            "pid": os.getpid(),
            "boot": self._boot_id,
            "state": self._state_id,
            "version": __version__,
        }
        self._channel.send(json.dumps({"hello": hello}))
        facts = []
        for attempt in self._attempts.values():
            facts += [line for line in self._known(attempt) if line]
        for i in range(0, len(facts), SYNC_BATCH):
            self._channel.send('{"reports":[' + ",".join(facts[i : i + SYNC_BATCH]) + "]}")
        waiting = [*self._orphans.values(), *self._unsettled.values()]
        self._channel.send(json.dumps({"synced": {"orphans": [[a.key, a.pid] for a in waiting]}}))

    def _known(self, attempt: Attempt) -> list[str]:
        return [attempt.line, attempt.final] if attempt.state == OVER else [attempt.line]

    def _listen(self) -> None:
        lines = self._channel.receive()
        if lines is None:
            self._channel.disconnect()
            self._daemon_left()
            return
        for line in lines:
            try:
                self._obey(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                print(f"a daemon sent what is no order: {error!r}", file=sys.stderr, flush=True)
                self._channel.disconnect()
                self._daemon_left()
                return

    def _obey(self, message: "Message") -> None:
        """Unknown keys are from a newer daemon, which knows that we don't know them."""
        if "hello" in message:
            self._cleaner.leave_children = message["hello"]["leave_children"]
        if "environment" in message:
            name, variables = message["environment"]
            self._environments.setdefault(name, variables)
        if "forget_environment" in message:
            self._environments.pop(message["forget_environment"], None)
        if "start" in message:
            self._on_start(message["start"])
        if "stop" in message:
            self._on_stop(message["stop"])
        if "settled" in message:
            self._on_settled(message["settled"])
        if "acknowledge" in message:
            self._on_acknowledge(message["acknowledge"])
        if "retire" in message:
            self._retiring = True

    def _daemon_left(self) -> None:
        """The parent of the unsettled is gone: nobody can tell any more."""
        for attempt in list(self._unsettled.values()):
            self._orphan_settled(attempt, None)

    def _on_start(self, orders: "list[OrderMessage]") -> None:
        for order in orders:
            key = order["key"]
            number = order["lane"]
            attempt = self._attempts.get(key)
            if attempt is not None:
                self._reports += [line for line in self._known(attempt) if line]
                continue
            attempt = self._attempts[key] = Attempt(key, None, None)
            base = self._environments.get(order["base"])
            if base is None:
                problem = f"its environment {order['base']!r} was not given to the warden"
                self._end(attempt, ledger.not_started(key, problem, _now()))
                self._over(attempt)
                continue
            attempt.order = Order(order, base)
            lane = attempt.lane = self._lanes.setdefault(number, Lane(0))
            lane.limit = order["lane_limit"]
            self._lane_of[key] = number
            lane.queue.append(attempt)
            self._free.add(number)

    def _on_stop(self, stops: list[tuple[int, float | None]]) -> None:
        for key, grace in stops:
            attempt = self._attempts.get(key)
            if attempt is None or attempt.state == OVER:
                continue
            if attempt.state == QUEUED:
                attempt.lane = None
                self._free.add(self._lane_of.pop(key))
                self._end(attempt, ledger.not_started(key, None, _now()))
                self._over(attempt)
            else:
                self._cleaner.stop(attempt, grace)

    def _on_settled(self, ends: list[tuple[int, int]]) -> None:
        for key, code in ends:
            attempt = self._attempts.get(key)
            if attempt is not None and attempt.pidfd >= 0:
                self._orphan_settled(attempt, code)

    def _on_acknowledge(self, keys: list[int]) -> None:
        forgotten = []
        for key in keys:
            attempt = self._attempts.get(key)
            if attempt is not None and attempt.state == OVER:
                del self._attempts[key]
                forgotten.append(key)
        if forgotten:
            self._journal.later(ledger.acknowledged(forgotten))
            if self._journal.worth_rewriting:
                self._rewrite_journal()

    def _facts(self) -> list[str]:
        """What the journal has to tell of all attempts that were claimed or are over."""
        facts = []
        claims = [a for a in self._attempts.values() if a.state == RUNNING]
        if claims:
            facts.append(ledger.claimed(claims, self._lane_of))
        for attempt in self._attempts.values():
            facts += [line for line in (attempt.line, attempt.final) if line]
        return facts

    def _rewrite_journal(self) -> None:
        try:
            self._journal.rewrite(self._facts())
        except OSError as error:  # a full disk: the old one is as good, only longer
            print(f"cannot rewrite the journal: {error}", file=sys.stderr, flush=True)


def _now() -> int:
    return time.time_ns() // 1000


def _wake_on_child() -> int:
    """A descriptor that becomes readable when a child has ended."""
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    return reader
