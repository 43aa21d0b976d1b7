"""Several wardens share a lane: never more at once than its limit, nothing twice, nothing
forgotten, and no place stays empty while somebody waits, whatever is late and whoever dies.

The executor, its supervisors and what they say are real; the wardens are simulated, so that what
is said can be as late as chance has it.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.executor_world import SilentLog
from torcd.executors.base import (
    After,
    AttemptOrder,
    Exited,
    NotStarted,
    Report,
    Started,
)
from torcd.executors.local import LocalExecutor
from torcd.executors.local.children import Children
from torcd.executors.local.heritage import Strays
from torcd.executors.local.listening import Settings
from torcd.executors.local.messages import PROTOCOL, FromWarden, Hello, Synced
from torcd.executors.local.supervisor import Supervisor
from torcd.executors.local.together import Together
from torcd.executors.local.witness import Witness
from torcd.model import NO_ATTEMPT, AttemptKey, Timestamp

NOW = Timestamp(0)


class Line:
    """Between a supervisor and its warden; what is said is on its way until somebody takes it."""

    def __init__(self, takes_shares: bool) -> None:
        self.hello = Hello(PROTOCOL, 0, "", takes_after=True, takes_shares=takes_shares)
        self.synced = self
        self.down: deque[dict[str, Any]] = deque()
        self.up: deque[FromWarden] = deque()

    def send(self, line: bytes) -> None:
        self.down.append(msgspec.json.decode(line))

    # As an event.

    is_synced = False

    def set(self) -> None:
        self.is_synced = True

    def is_set(self) -> bool:
        return self.is_synced


class Warden:
    """What the daemon relies on, and no more."""

    def __init__(self, history: "History", former: "Warden | None" = None) -> None:
        self.history = history
        self.line = Line(takes_shares=True)
        self.limits: dict[int, int] = {}
        self.shares: dict[int, int] = {}
        self.queue: list[AttemptOrder] = []
        self.followers: list[AttemptOrder] = []
        self.taken_back: set[AttemptKey] = set()
        """Those that were given only after they had been taken back."""
        self.running: dict[AttemptKey, AttemptOrder] = {} if former is None else former.running
        self.over: dict[AttemptKey, Report] = {} if former is None else former.over

    def greet(self) -> None:
        """The first things said to a daemon."""
        reports: list[Report] = [Started(key, 1, NOW) for key in self.running]
        lanes = {o.lane for o in (*self.queue, *self.running.values())}
        self.shares = {lane: n for lane, n in self.shares.items() if lane in lanes}
        synced = Synced(
            [],
            [o.attempt_key for o in (*self.queue, *self.followers)],
            [(lane, self.most(lane), self.count(lane)) for lane in lanes],
        )
        self.line = Line(takes_shares=True)
        self.line.up.append(FromWarden(reports=[*reports, *self.over.values()], synced=synced))

    def most(self, lane: int) -> int:
        # Nobody has said what the limit of those is that run.
        return self.shares.get(lane, self.limits.get(lane, 0))

    def count(self, lane: int) -> int:
        return sum(o.lane == lane for o in self.running.values())

    def hear(self) -> None:
        said = self.line.down.popleft()
        for lane, most, token in said.get("shares", ()):
            self.shares[lane] = most
            if most is None:
                del self.shares[lane]
            running = [key for key, order in self.running.items() if order.lane == lane]
            self.tell(FromWarden(shared=[(lane, token, running)]))
        for order in msgspec.convert(said.get("start", []), list[AttemptOrder]):
            self.take(order)
        for key in (*said.get("revoke", ()), *(key for key, _ in said.get("stop", ()))):
            self.revoke(key)
        if "withdraw" in said:
            self.withdraw(said["withdraw"])
        for key in said.get("acknowledge", ()):
            self.over.pop(key, None)

    def withdraw(self, keys: list[int]) -> None:
        gone = [o for o in (*self.queue, *self.followers) if o.attempt_key in keys]
        self.queue = [o for o in self.queue if o not in gone]
        self.followers = [o for o in self.followers if o not in gone]
        for order in gone:
            self.release(order.attempt_key, well=False)
        self.tell(FromWarden(withdrawn=[o.attempt_key for o in gone]))

    def take(self, order: AttemptOrder) -> None:
        key = order.attempt_key
        self.limits[order.lane] = order.lane_limit
        if key in self.running:
            self.tell(FromWarden(reports=[Started(key, 1, NOW)]))
        elif key in self.over:
            self.tell(FromWarden(reports=[self.over[key]]))
        elif not any(o.attempt_key == key for o in (*self.queue, *self.followers)):
            if key in self.history.revoked:
                self.taken_back.add(key)
            leader = None if order.after is None else order.after.attempt_key
            if leader is None or isinstance(self.over.get(leader), Exited):
                self.queue.append(order)
            elif leader in self.running or any(
                o.attempt_key == leader for o in (*self.queue, *self.followers)
            ):
                self.followers.append(order)
            else:
                self.end(NotStarted(key, NOW, None))

    def revoke(self, key: int) -> None:
        for waiting in (self.queue, self.followers):
            for order in waiting:
                if order.attempt_key == key:
                    waiting.remove(order)
                    self.end(NotStarted(order.attempt_key, NOW, None))
                    return

    def begin(self) -> bool:
        """Start the first that has a place, if there is one."""
        for order in self.queue:
            if order.attempt_key in self.taken_back and self.is_to_hear_of(order.attempt_key):
                continue
            assert order.attempt_key not in self.taken_back, "it was taken back before"
            if self.count(order.lane) < self.most(order.lane):
                self.queue.remove(order)
                self.running[order.attempt_key] = order
                self.history.begun(order)
                self.tell(FromWarden(reports=[Started(order.attempt_key, 1, NOW)]))
                return True
        return False

    def is_to_hear_of(self, key: AttemptKey) -> bool:
        return any(key in said.get("revoke", ()) for said in self.line.down)

    def finish(self, key: AttemptKey) -> None:
        del self.running[key]
        self.end(Exited(key, 0, NOW, None, None))

    def end(self, report: Exited | NotStarted) -> None:
        self.over[report.attempt_key] = report
        self.tell(FromWarden(reports=[report]))
        self.release(report.attempt_key, well=isinstance(report, Exited))

    def release(self, leader: int, *, well: bool) -> None:
        for order in [o for o in self.followers if o.after and o.after.attempt_key == leader]:
            self.followers.remove(order)
            if well:
                self.queue.append(order)
            else:
                self.end(NotStarted(order.attempt_key, NOW, None))

    def loses_patience(self, only: set[AttemptKey] | None = None) -> bool:
        """With one (of these) that comes after what takes long."""
        for order in self.followers:
            if (
                order.after is not None
                and order.after.attempt_key in self.running
                and (only is None or order.attempt_key in only)
            ):
                self.revoke(order.attempt_key)
                return True
        return False

    def tell(self, message: FromWarden) -> None:
        self.line.up.append(message)


@cache
def strays(state_id: int) -> Strays:
    """The same for all daemons: each has a descriptor, for as long as its process lives."""
    return Strays(state_id)


class History:
    """One of many that could be, chosen by a seed."""

    def __init__(self, seed: int, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.random = random.Random(seed)
        self.limits = {lane: self.random.choice((1, 2, 3, 4, 7)) for lane in (1, 2)}
        self.sizes = self.random.choice(((1, 1, 3, 20), (1, 2, 3)))
        """Of what is ordered at a time: lanes are full, or have room now and then."""
        self.part_stuck = self.random.choice((0.1, 0.4, 0.7))
        self.wanted: dict[AttemptKey, AttemptOrder] = {}
        """Ordered, and not known to be over."""
        self.next_key = 1
        self.starts: dict[AttemptKey, int] = {}
        self.ends: dict[AttemptKey, int] = {}
        self.leaders: dict[AttemptKey, AttemptKey] = {}
        """After which others come."""
        self.ended_well = {NO_ATTEMPT}
        """As far as the daemon knows."""
        self.revoked: set[AttemptKey] = set()
        """By this daemon."""
        self.told: list[Report] = []
        """And not yet decided: the controller is late, too."""
        self.late: list[AttemptKey] = []
        """Given to an earlier daemon, and yet to be repeated by this one."""
        self.after_nobody: set[AttemptKey] = set()
        """Repeated without saying what they come after."""
        self.stuck: set[AttemptKey] = set()
        """They take long."""
        self.directory = directory
        self.wardens = [Warden(self)]
        self.called_in = 0
        monkeypatch.setattr("torcd.executors.local.launching.add_warden", lambda *_: None)
        monkeypatch.setattr("torcd.executors.local.children.Strays", strays)
        self.make_daemon()

    def make_daemon(self) -> None:
        self.told.clear()
        self.executor = LocalExecutor(self.directory, log=SilentLog(), boot_id="", wardens=2)
        self.executor._together = Together(self.take)
        self.executor._settings = Settings(self.directory, "", 1, False, "", 0o700)
        self.executor._witness = Witness(1)
        self.executor._children = Children(self.executor._supervisors, 1)
        self.executor._tasks = self  # type: ignore[assignment]
        for number, warden in enumerate(self.wardens):
            if number:
                self.executor._supervisors.append(self.executor._supervisor(number))
            warden.greet()
            self.reach(number)
        self.executor._begin()

    @property
    def supervisors(self) -> list[Supervisor]:
        return self.executor._supervisors

    def start_soon(self, *_: object) -> None:
        """What a task group does for the executor: the second warden comes, some time."""
        self.called_in += 1

    def reach(self, number: int) -> None:
        supervisor, warden = self.supervisors[number], self.wardens[number]
        supervisor._settings, supervisor._witness = self.executor._settings, Witness(1)
        supervisor._link = None
        supervisor._receive(warden.line, warden.line.up.popleft())  # type: ignore[arg-type]
        supervisor._link = warden.line  # type: ignore[assignment]
        supervisor._say_everything(warden.line)  # type: ignore[arg-type]

    def take(self, reports: list[Report]) -> None:
        self.told += reports

    def decide(self) -> None:
        """What the controller does with what it was told: it commits and acknowledges."""
        reports, self.told = self.told, []
        over = []
        for report in reports:
            if not isinstance(report, Started):
                over.append(report.attempt_key)
                if isinstance(report, Exited):
                    self.ended_well.add(report.attempt_key)
                if self.wanted.pop(report.attempt_key, None) is not None:
                    self.ends[report.attempt_key] = self.ends.get(report.attempt_key, 0) + 1
        self.executor.acknowledge(over)

    def begun(self, order: AttemptOrder) -> None:
        self.starts[order.attempt_key] = self.starts.get(order.attempt_key, 0) + 1
        assert self.starts[order.attempt_key] == 1, "it was started twice"
        leader = self.leaders.get(order.attempt_key)
        assert not any(leader in warden.running for warden in self.wardens), (
            "before its leader's end"
        )
        assert leader is None or leader in self.starts, "before its leader"
        together = sum(warden.count(order.lane) for warden in self.wardens)
        assert together <= self.limits[order.lane], "too many at once"
        if self.random.random() < self.part_stuck:
            self.stuck.add(order.attempt_key)

    # What may happen

    def order(self) -> None:
        lane = self.random.choice((1, 2))
        orders = []
        ended = [report.attempt_key for report in self.told if isinstance(report, Exited)]
        for _ in range(self.random.choice(self.sizes)):
            after = None
            if self.wanted and self.random.random() < 0.2:
                leader = self.wanted.get(self.random.choice(ended or list(self.wanted)))
                if leader is not None and leader.lane == lane:
                    after = After(leader.attempt_key, "")
            orders.append(self.made(lane, after))
        self.executor.start(orders)

    def made(self, lane: int, after: After | None) -> AttemptOrder:
        order = AttemptOrder(
            attempt_key=AttemptKey(self.next_key),
            lane=lane,
            lane_limit=self.limits[lane],
            argv=("x",),
            base_environment="",
            environment={},
            cwd="/",
            stdout=None,
            stderr=None,
            after=after,
        )
        self.next_key += 1
        self.wanted[order.attempt_key] = order
        if after is not None:
            self.leaders[order.attempt_key] = after.attempt_key
        return order

    def order_again(self) -> None:
        """After a restart; some at once, others when what they need has been made ready."""
        number = self.random.randint(0, len(self.late))
        keys, self.late = self.late[:number], self.late[number:]
        self.executor.start([self.repeated(self.wanted[k]) for k in keys if k in self.wanted])

    def end_a_workflow(self) -> None:
        """Another one, of whose lane nothing was ordered."""
        self.executor.remove_environment("of another")

    def revoke(self) -> None:
        if ordered := self.wanted.keys() - set(self.late):
            key = self.random.choice(sorted(ordered))
            self.revoked.add(key)
            self.executor.revoke(key)

    def hear(self) -> None:
        warden = self.random.choice(self.wardens)
        if warden.line.down:
            warden.hear()

    def listen(self) -> None:
        number = self.random.randrange(len(self.wardens))
        warden = self.wardens[number]
        if warden.line.up:
            self.listen_to(number)

    def listen_to(self, number: int) -> None:
        warden = self.wardens[number]
        self.supervisors[number]._receive(warden.line, warden.line.up.popleft())  # type: ignore[arg-type]

    def work(self) -> None:
        self.random.choice(self.wardens).begin()

    def finish(self) -> None:
        warden = self.random.choice(self.wardens)
        short = [key for key in warden.running if key not in self.stuck]
        if short:
            warden.finish(self.random.choice(short))

    def call_in(self) -> None:
        if self.called_in and len(self.wardens) == 1:
            self.wardens.append(Warden(self))
            self.wardens[1].greet()
            self.reach(1)

    def lose_a_warden(self) -> None:
        """What it was running goes on; what it was told and has not carried out is lost."""
        number = self.random.randrange(len(self.wardens))
        self.wardens[number] = Warden(self, self.wardens[number])
        self.wardens[number].greet()
        self.reach(number)

    def lose_the_daemon(self) -> None:
        if self.called_in and len(self.wardens) == 1:
            return  # the next daemon would look for it on disk
        self.revoked.clear()
        for number, warden in enumerate(self.wardens):
            warden.taken_back.clear()
            if self.random.random() < 0.3:
                self.wardens[number] = Warden(self, warden)
        self.make_daemon()
        self.late = list(self.wanted)
        self.order_again()
        if self.random.random() < 0.5:
            self.settle()
            self.check_that_no_place_is_empty()

    def repeated(self, order: AttemptOrder) -> AttemptOrder:
        """What the scheduler says of it to a new daemon's executor."""
        is_to_wait = self.leaders.get(order.attempt_key, NO_ATTEMPT) not in self.ended_well
        if is_to_wait:
            self.after_nobody.add(order.attempt_key)
        return msgspec.structs.replace(
            order,
            after=After(NO_ATTEMPT, "") if is_to_wait else None,
            lane_limit=self.limits[order.lane],
        )

    def change_a_limit(self) -> None:
        """It holds when the wardens have heard of it."""
        lane = self.random.choice((1, 2))
        limit = self.random.choice((1, 2, 3, 4, 7))
        before, self.limits[lane] = self.limits[lane], limit
        self.executor.start([self.made(lane, None)])
        self.limits[lane] = max(before, limit)
        self.all_is_heard()
        self.limits[lane] = limit

    def all_is_heard(self) -> None:
        while self.told or any(w.line.down or w.line.up for w in self.wardens):
            self.hear()
            self.listen()
            self.decide()

    def lose_patience(self) -> None:
        self.random.choice(self.wardens).loses_patience()

    def settle(self) -> None:
        """Until nothing is on its way and nothing can start. Jobs that take long go on."""
        moved = True
        while moved:
            moved = bool(self.late or self.told)
            self.decide()
            self.order_again()
            self.call_in()
            for number, warden in enumerate(self.wardens):
                while warden.line.down:
                    warden.hear()
                    moved = True
                while warden.line.up:
                    self.listen_to(number)
                    moved = True
                while warden.begin():
                    moved = True
                for key in [key for key in warden.running if key not in self.stuck]:
                    warden.finish(key)
                    moved = True
                # Of these a daemon does not know whether they have a place.
                moved = moved or warden.loses_patience(self.after_nobody)

    def orders_are_heard(self) -> None:
        for warden in self.wardens:
            while warden.line.down:
                warden.hear()

    def shares_heard(self) -> list[dict[int, int]]:
        self.orders_are_heard()
        return [dict(warden.shares) for warden in self.wardens]

    def check_that_no_place_is_empty(self) -> None:
        for lane, limit in self.limits.items():
            running = sum(warden.count(lane) for warden in self.wardens)
            waiting = sum(o.lane == lane for warden in self.wardens for o in warden.queue)
            assert not waiting or running >= limit, f"{waiting} wait, and {running} of {limit} run"

    def end(self) -> None:
        self.settle()
        self.check_that_no_place_is_empty()
        while self.wanted:
            self.stuck.clear()
            self.settle()
        assert self.ends == dict.fromkeys(range(1, self.next_key), 1)


STEPS: list[tuple[int, Callable[[History], None]]] = [
    (6, History.order),
    (1, History.order_again),
    (4, History.end_a_workflow),
    (3, History.revoke),
    (40, History.hear),
    (40, History.listen),
    (8, History.decide),
    (40, History.work),
    (30, History.finish),
    (5, History.call_in),
    (1, History.lose_a_warden),
    (2, History.lose_the_daemon),
    (1, History.change_a_limit),
    (2, History.lose_patience),
    (2, History.settle),
]


@contextmanager
def told_by(seed: int) -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}") from error


@pytest.mark.parametrize("block", range(4))
def test_whatever_happens(block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, steps = zip(*STEPS, strict=True)
    for seed in range(block * 100, block * 100 + 100):
        with told_by(seed):
            history = History(seed, tmp_path, monkeypatch)
            for step in history.random.choices(steps, weights, k=300):
                step(history)
                if step is History.settle:
                    history.check_that_no_place_is_empty()
            history.end()


def shared_by_two(limit: int, directory: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    """Two wardens share the first lane, and have nothing to do."""
    history = History(0, directory, monkeypatch)
    history.limits, history.part_stuck = {1: limit, 2: limit}, 0.0
    for _ in range(2):  # with the first the second warden is called in
        history.executor.start([history.made(1, None) for _ in range(limit + 1)])
        history.settle()
        history.stuck.clear()
        history.settle()
    return history


def ended_at_the_second(history: History) -> AttemptKey:
    """Of four that are ordered the second warden runs its part, and its daemon has yet to hear; the
    last of these."""
    history.executor.start([history.made(1, None) for _ in range(4)])
    history.all_is_heard()
    second = history.wardens[1]
    while second.begin():
        leader, *_ = second.running
        second.finish(leader)
    return leader


def test_nobody_is_asked_for_what_has_a_place_or_comes_after_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = shared_by_two(2, tmp_path, monkeypatch)
    chain = [history.made(1, None)]
    for _ in range(20):
        chain.append(history.made(1, After(chain[-1].attempt_key, "")))
    history.executor.start(chain)
    history.executor.start([history.made(1, None)])
    asked: list[list[int]] = []
    withdraw = Warden.withdraw

    def note(warden: Warden, keys: list[int]) -> None:
        asked.append(keys)
        withdraw(warden, keys)

    monkeypatch.setattr(Warden, "withdraw", note)
    while history.wanted:
        history.all_is_heard()
        for warden in history.wardens:
            warden.begin()
        history.stuck.clear()
        history.all_is_heard()
        for warden in history.wardens:
            if warden.running:
                warden.finish(min(warden.running))
    assert all(warden.shares == {1: 1} for warden in history.wardens)
    assert asked == []


def test_who_comes_to_wait_while_a_warden_is_asked_for_others_is_asked_for_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = shared_by_two(4, tmp_path, monkeypatch)
    short, long, another_short, leader = [history.made(1, None) for _ in range(4)]
    follower = history.made(1, After(leader.attempt_key, ""))
    history.executor.start([short, long, another_short, leader, follower])
    history.all_is_heard()
    first, second = history.wardens
    assert [warden.begin() for warden in (first, first, second, second)] == [True] * 4
    history.limits[1] = 3
    last = history.made(1, None)
    history.executor.start([last])
    first.finish(short.attempt_key)
    first.finish(another_short.attempt_key)
    history.all_is_heard()
    assert first.begin()
    first.finish(last.attempt_key)
    assert (first.shares, second.shares) == ({1: 1}, {1: 0})
    history.listen_to(0)
    history.listen_to(0)
    second.hear()  # of some, who run
    history.listen_to(1)
    assert second.line.down[-1]["withdraw"] == [long.attempt_key, leader.attempt_key]
    second.finish(leader.attempt_key)
    history.listen_to(1)
    history.all_is_heard()
    assert first.begin()
    assert follower.attempt_key in first.running


def test_the_next_warden_is_told_the_newest_limit_though_who_was_ordered_with_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(0, tmp_path, monkeypatch)
    history.limits = {1: 3, 2: 3}
    first, *_ = orders = [history.made(1, None) for _ in range(3)]
    history.executor.start(orders)
    history.all_is_heard()
    assert history.wardens[0].begin()
    history.limits[1] = 1
    last = history.made(1, None)
    history.executor.start([last])
    history.executor.revoke(last.attempt_key)
    history.all_is_heard()
    history.executor.remove_environment("another workflow's")
    history.lose_a_warden()
    history.all_is_heard()
    assert not history.wardens[0].begin()
    history.wardens[0].finish(first.attempt_key)
    assert history.wardens[0].begin()


@pytest.mark.parametrize(("before", "limit"), [(2, 4), (4, 2)])
def test_a_new_daemon_has_the_first_warden_hear_a_limit_of_which_only_the_second_was_told(
    before: int, limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = shared_by_two(before, tmp_path, monkeypatch)
    history.executor.start([history.made(1, None) for _ in range(9)])
    history.all_is_heard()
    first, second = history.wardens
    history.limits[1] = limit
    history.executor.start([history.made(1, After(second.queue[0].attempt_key, ""))])
    history.all_is_heard()
    assert [warden.limits[1] for warden in (first, second)] == [before, limit]
    while second.begin():
        second.finish(*second.running)
    history.make_daemon()
    history.decide()
    assert sorted(history.wanted) == sorted(order.attempt_key for order in first.queue)
    history.orders_are_heard()
    while first.begin():
        pass
    history.executor.start([history.repeated(first.queue[0])])
    history.stuck.update(history.wanted)
    history.settle()
    assert first.count(1) == limit


def test_what_comes_after_one_of_the_second_warden_goes_there_only_if_the_lane_is_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = shared_by_two(2, tmp_path, monkeypatch)
    first, second = history.wardens
    leader = ended_at_the_second(history)
    history.make_daemon()
    history.executor.start([history.repeated(order) for order in first.queue])
    history.executor.start([history.made(1, After(leader, ""))])
    history.all_is_heard()
    assert [warden.begin() for warden in (first, first, second)] == [True, True, False]
    history.settle()
    history.check_that_no_place_is_empty()


def test_what_comes_after_one_of_the_second_warden_waits_there_for_a_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = shared_by_two(2, tmp_path, monkeypatch)
    first, second = history.wardens
    leader = ended_at_the_second(history)
    assert [first.begin(), first.begin()] == [True, False]
    history.make_daemon()
    theirs = (*first.running.values(), *first.queue)
    history.executor.start([history.repeated(order) for order in theirs])
    history.executor.start([history.made(1, None)])
    history.executor.start([history.made(1, After(leader, ""))])
    history.orders_are_heard()
    while first.begin():
        pass
    assert (second.shares, second.begin()) == ({1: 0}, False)
    history.settle()
    history.check_that_no_place_is_empty()


def test_who_comes_after_one_that_is_over_is_asked_for_if_there_is_no_room_where_that_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = shared_by_two(4, tmp_path, monkeypatch)
    first, second = history.wardens
    history.executor.start([history.made(1, None) for _ in range(4)])
    history.orders_are_heard()
    second.begin()
    leader, *_ = second.running
    second.finish(leader)
    while second.line.up:
        history.listen_to(1)
    history.executor.start([history.made(1, None)])
    history.orders_are_heard()
    while first.begin():
        first.finish(*first.running)
    while first.line.up:
        history.listen_to(0)
    while second.begin():
        pass
    assert (second.count(1), second.queue) == (2, [])
    history.stuck.update(second.running)
    history.executor.start([history.made(1, After(leader, ""))])
    history.settle()
    history.check_that_no_place_is_empty()


def test_who_comes_after_one_of_before_is_asked_for_when_that_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = shared_by_two(4, tmp_path, monkeypatch)
    first, second = history.wardens
    history.executor.start([history.made(1, None) for _ in range(6)])
    history.all_is_heard()
    second.begin()
    second.begin()
    while first.begin():
        first.finish(*first.running)
    leader, long = second.running
    next_one = second.queue[0]
    history.make_daemon()
    history.decide()
    history.executor.start([history.repeated(order) for order in (second.running[long], next_one)])
    history.executor.start([history.made(1, After(leader, ""))])
    history.all_is_heard()
    history.stuck.update((long, next_one.attempt_key))
    history.settle()
    history.check_that_no_place_is_empty()


def test_an_environment_that_is_not_needed_any_more_is_no_reason_to_lift_shares_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(0, tmp_path, monkeypatch)
    history.limits = {1: 2, 2: 2}
    while not history.called_in:
        history.order()
    history.settle()
    while not all(warden.count(1) for warden in history.wardens):
        history.order()
        history.settle()
    history.make_daemon()
    before = history.shares_heard()
    assert any(before)
    history.executor.remove_environment("another workflow's")
    assert history.shares_heard() == before


def test_where_there_is_one_warden_what_an_earlier_daemon_had_it_run_at_most_is_lifted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(0, tmp_path, monkeypatch)
    history.limits = {1: 4, 2: 4}
    executor = LocalExecutor(tmp_path, log=SilentLog(), boot_id="", wardens=1)
    executor._is_alone = True
    executor._found[0] = Synced([], lanes=[(1, 2, 1)])
    line = Line(takes_shares=True)
    executor._supervisors[0]._link = line  # type: ignore[assignment]
    executor._begin()
    executor.start([history.made(1, None)])
    shares = [said["shares"] for said in line.down if "shares" in said]
    assert [[share[:2] for share in some] for some in shares] == [[[1, None]]]
