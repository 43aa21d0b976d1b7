"""Which warden gets which order, and how many attempts of a lane each of them may run.

As a rule it is the first. One that is busy with the end of a job cannot attend to another, and
where jobs take a millisecond, a CPU stands still meanwhile. So a lane is *shared* once more has
been ordered of it than may run at a time, which is done for short jobs only: each warden has a
*share* of the lane's limit, and an order is for who has fewest of them for its share.

What holds at any time is that the wardens of a lane together run no more than its limit. A share
that was lowered is spoken for until so many have ended that no more can be running than it says;
only then another one is raised. If the limit itself is lowered, all shares are none until it is
known who runs how many.

Where one warden has room and another has attempts that wait, because some job took longer than
others did, the second is asked to forget some of these (they are *withdrawn*), and the first gets
them.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from torcd.executors.base import AttemptOrder
from torcd.executors.local.shares import Lane, Share
from torcd.model import AttemptKey


class Party(Protocol):
    """A warden, as far as sharing is concerned."""

    def __contains__(self, attempt_key: AttemptKey) -> bool:
        """Whether it was ordered that, and it is not over."""
        ...

    def of_lane(self, lane: int) -> list[AttemptOrder]:
        """What it was ordered and is not over, in the order in which it was given."""
        ...

    def share(self, lane: int, most: int | None, token: int) -> None:
        """Tell it how many of the lane it may run at most; None: as many as orders say. It answers
        with those that run."""
        ...

    def withdraw(self, attempts: list[AttemptKey]) -> None:
        """Ask it to forget those of these that wait. It answers with what it has forgotten."""
        ...


class Sharing:
    def __init__(
        self, first: Party, call_in: Callable[[], None], known: Mapping[AttemptKey, int]
    ) -> None:
        """`call_in`: there is use for one more party than there is. `known`: what parties have from
        an earlier daemon and has yet to be ordered, with the party's number."""
        self._call_in = call_in
        self._known = known
        self._parties = [first]
        self._lanes: dict[int, Lane] = {}
        self._has_called = False
        self._next_token = 1
        self._ended: dict[AttemptKey, int] = {}
        """Those that are over and not acknowledged, and who remembers them, if not the first."""
        self._aimed: set[int] = set()
        """Lanes to look at once all orders are given: some may wait while another has room, or the
        first may have it to itself again."""
        self._asked: list[deque[int]] = [deque()]
        """The lanes of which each party was asked to withdraw some, and has not answered."""

    @property
    def parties(self) -> int:
        """How many there are."""
        return len(self._parties)

    def begin(self, lanes: list[list[tuple[int, int, int]]], *others: Party) -> None:
        """The parties that are there now, and of each the lanes that it knows of from an earlier
        daemon, the first one's first: how many of it may run there, and how many do."""
        self._has_called = False
        for party in others:
            self.add(party)
        for number, known in enumerate(lanes):
            for key, most, _ in known:
                self._lane(key).shares[number].told = most
        for key, lane in self._lanes.items():
            # Else the first one keeps to what it may run until it has heard of the limit (`given`).
            lane.is_shared = any(share.told is not None for share in lane.shares[1:])
            if lane.is_shared:
                # One that was started again since then was told nothing.
                for number, share in enumerate(lane.shares):
                    share.before = self._may_run(number, key)
                    self._tell(number, key, share, share.told or 0)

    def add(self, party: Party) -> None:
        """One more, who may get orders from now on, and some of those that wait elsewhere."""
        self._parties.append(party)
        self._asked.append(deque())
        self._has_called = False
        for key, lane in self._lanes.items():
            lane.shares.append(Share())
            if lane.wants_another and lane.shares[0].load > lane.limit > 1:
                self._aim(key, lane)

    def is_back(self, number: int) -> None:
        """It has been started again, and knows nothing of shares. What it has it is given next."""
        self._has_called = False
        self._asked[number].clear()
        for key, lane in self._lanes.items():
            share = lane.shares[number]
            share.asked = 0
            if share.told is not None:
                self._tell(number, key, share, share.told)
                self._aimed.add(key)

    # Orders

    def deal(self, orders: Iterable[AttemptOrder]) -> list[list[AttemptOrder]]:
        """What each party is to get of these, in their order. Who comes after another one goes
        where that is."""
        dealt: list[list[AttemptOrder]] = [[] for _ in self._parties]
        numbers: dict[AttemptKey, int] = {}
        key, lane, shares = -1, None, []
        for order in orders:
            if order.lane != key or lane is None or order.lane_limit != lane.limit:
                key = order.lane
                lane = self._of(order)
                shares = lane.shares
            leader = None
            if order.after is not None:
                leader = order.after.attempt_key
                if leader in numbers:
                    number = numbers[leader]
                else:
                    number = self._who_has(leader) if lane.is_shared else 0
                    if leader not in self._parties[number] and leader not in self._known:
                        leader = None  # it is over, or will be known to be
                        self._aimed.add(key)  # there may be no room where it was
            elif lane.is_shared or self._is_to_be_shared(order, lane):
                number = lane.next_party()
            else:
                number = 0
            shares[number].take(order.attempt_key, leader)
            dealt[number].append(order)
            numbers[order.attempt_key] = number
        return dealt

    def has(self, number: int, orders: Iterable[AttemptOrder]) -> None:
        """That party has them, from an earlier daemon, and is reminded of all of them already. One
        that comes after another, nobody knows which, counts as if it had a place: for a second at
        most, then the warden gives it back."""
        for order in orders:
            self._of(order).shares[number].load += 1
            self._aimed.add(order.lane)

    def _of(self, order: AttemptOrder) -> Lane:
        lane = self._lane(order.lane)
        if lane.limit != order.lane_limit:
            lane.limit = order.lane_limit
            if lane.is_shared:
                self._aim(order.lane, lane)
        if not lane.is_shared and lane.shares[0].told is not None:
            self._aimed.add(order.lane)  # what an earlier daemon told it is to be lifted
        return lane

    def limit(self, order: AttemptOrder) -> int:
        """Of its lane, by the order that was given last."""
        lane = self._lanes.get(order.lane)
        return order.lane_limit if lane is None else lane.limit

    def _is_to_be_shared(self, order: AttemptOrder, lane: Lane) -> bool:
        """It is, from now on, if there is somebody to share it with."""
        if lane.shares[0].load < lane.limit or lane.limit < 2 or order.user is not None:
            return False
        if len(self._parties) > 1:
            self._aim(order.lane, lane)
            return True
        lane.wants_another = True
        if not self._has_called:
            self._has_called = True
            self._call_in()
        return False

    def _who_has(self, attempt_key: AttemptKey) -> int:
        for number, party in enumerate(self._parties):
            if attempt_key in party:
                return number
        if attempt_key in self._ended:
            return self._ended[attempt_key]
        return self._known.get(attempt_key, 0)  # the first will say if nobody knows it

    def given(self) -> None:
        """All orders that were to be given are with their parties."""
        while self._aimed:
            key = self._aimed.pop()
            lane = self._lanes.get(key)
            if lane is None:
                continue
            first = lane.shares[0]
            if lane.is_shared:
                self._balance(key, lane)
            elif first.told is not None and (first.load or first.followers):
                self._tell(0, key, first, None)  # with these it was told the limit

    def ended(self, number: int, orders: Sequence[AttemptOrder]) -> None:
        """These are `over`, and until they are acknowledged their party remembers them: what comes
        after one of them may start there."""
        if number:
            self._ended.update((order.attempt_key, number) for order in orders)
        self.over(number, orders)

    def acknowledged(self, attempts: Iterable[AttemptKey]) -> None:
        if self._ended:
            for key in attempts:
                self._ended.pop(key, None)

    def over(self, number: int, orders: Sequence[AttemptOrder]) -> None:
        """Of what this party was given, these are over."""
        touched = {order.lane for order in orders} & self._lanes.keys()
        for key in touched:
            lane = self._lanes[key]
            keys = [order.attempt_key for order in orders if order.lane == key]
            lane.shares[number].lose(keys)
            self._go_on(key, lane)

    def forgotten(self, number: int, attempt_key: AttemptKey) -> None:
        """That party had it from an earlier daemon; it is over, and was not ordered since."""
        for key, lane in self._lanes.items():
            share = lane.shares[number]
            if attempt_key in share.before or share.followers:
                share.before.discard(attempt_key)
                share.release({attempt_key})
                self._go_on(key, lane)

    def holds(self, number: int, key: int, token: int, running: list[int]) -> None:
        """This party keeps to the share that it was told with that token; these run."""
        lane = self._lanes.get(key)
        if lane is None or lane.shares[number].token != token:
            return
        lane.shares[number].before.intersection_update(running)
        self._go_on(key, lane)

    def answered(self, number: int, *, in_vain: bool) -> None:
        """It was asked to withdraw some; what it has forgotten was told to be `over`."""
        if not self._asked[number]:
            return  # before it was started again
        key = self._asked[number].popleft()
        lane = self._lanes.get(key)
        if lane is None:
            return
        share = lane.shares[number]
        if not in_vain:
            share.asked = 0
        if share.asked < 2:
            self._balance(key, lane)
        else:
            share.asked = 0  # they all run

    def tidy(self) -> None:
        """Forget lanes in which nothing is going on."""
        for key, lane in list(self._lanes.items()):
            if not any(share.load or share.followers for share in lane.shares):
                del self._lanes[key]
                for number, share in enumerate(lane.shares):
                    if share.told is not None:
                        self._tell(number, key, share, None)

    # Shares

    def _lane(self, key: int) -> Lane:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(len(self._parties))
        return lane

    def _aim(self, key: int, lane: Lane) -> None:
        """Have the limit shared evenly, at once or as soon as it can be."""
        self._aimed.add(key)
        # If it was lowered, nobody starts anything until it is known how many run.
        are_too_many = lane.room < 0
        for number, share in enumerate(lane.shares):
            target = 0 if are_too_many else lane.target(number)
            if share.told is None and number:
                self._tell(number, key, share, 0)  # it has none yet, but may be given followers
            elif share.told is None or share.told > target or not lane.is_shared:
                share.before = self._may_run(number, key)
                self._tell(number, key, share, target)
        lane.is_shared = True
        self._settle(key, lane)

    def _settle(self, key: int, lane: Lane) -> None:
        """Raise what can be raised."""
        lane.is_settling = False
        for share in lane.shares:
            if share.told is not None and len(share.before) <= share.told:
                share.before.clear()
        room = lane.room
        for number, share in enumerate(lane.shares):
            lacks = lane.target(number) - (share.told or 0)
            if lacks > 0:
                more = max(0, min(lacks, room))
                lane.is_settling |= more < lacks
                if more:
                    room -= more
                    self._tell(number, key, share, (share.told or 0) + more)

    def _go_on(self, key: int, lane: Lane) -> None:
        """Fewer may be running than before, or others may wait."""
        if lane.is_settling:
            self._settle(key, lane)
        if lane.is_shared:
            self._balance(key, lane)

    def _may_run(self, number: int, key: int) -> set[AttemptKey]:
        """What of that lane may be running there; it will say what does."""
        ordered = {order.attempt_key for order in self._parties[number].of_lane(key)}
        # Those of an earlier daemon may be of any lane.
        return ordered | {each for each, whose in self._known.items() if whose == number}

    def _tell(self, number: int, key: int, share: Share, most: int | None) -> None:
        share.told = most
        share.token = self._next_token
        self._next_token += 1
        self._parties[number].share(key, most, share.token)

    def _balance(self, key: int, lane: Lane) -> None:
        """If one has room and another has some that wait, ask it for some of them."""
        if all(share.load >= (share.told or 0) for share in lane.shares):
            return
        for number, share in enumerate(lane.shares):
            if share.load > (share.told or 0):
                if key in self._asked[number]:
                    share.asked = 1  # more may wait there than it was asked for
                else:
                    self._ask(number, key, share)

    def _ask(self, number: int, key: int, share: Share) -> None:
        party = self._parties[number]
        orders = party.of_lane(key)
        mine = {order.attempt_key for order in orders} | self._known.keys()
        # Who comes after another one has a place when that has ended.
        waiting = [
            order.attempt_key
            for order in orders
            if order.after is None or order.after.attempt_key not in mine
        ]
        # As a rule the first to have been given are those that run; what is left is halved.
        if not share.asked:
            waiting = waiting[share.told or 0 :]
            waiting = waiting[: (len(waiting) + 1) // 2]
        share.asked += 1
        self._asked[number].append(key)
        party.withdraw(waiting)
