"""Standing orders: what is wanted of attempts that are not over, and what it takes to say all of it
again. A warden hears what is new; the next one hears everything."""

from collections.abc import Callable, Collection, Iterable, Mapping, Set

import msgspec

from torcd.executors.base import AttemptOrder
from torcd.executors.local import messages
from torcd.executors.local.link import Link
from torcd.model import AttemptKey

ORDERS_IN_A_LINE = 256
"""Keeps a line near 100 KiB, so that the warden starts the first before the last has arrived."""


class StandingOrders:
    def __init__(self, link: Callable[[], Link | None]) -> None:
        """`link`: to the warden, while there is one; else all is said when there is."""
        self._link = link
        self._environments: dict[str, dict[str, str]] = {}
        self._orders: dict[AttemptKey, AttemptOrder] = {}
        """Of attempts that are not over."""
        self._limits: dict[int, int] = {}
        """Of their lanes, as they were ordered last: maybe with an attempt that is over."""
        # What else is wanted of them, and of no others.
        self._stops: dict[AttemptKey, float | None] = {}
        self._revoked: set[AttemptKey] = set()
        self._frozen: set[AttemptKey] = set()

    def __contains__(self, attempt_key: AttemptKey) -> bool:
        """Whether it was ordered, and is not over as far as is known."""
        return attempt_key in self._orders

    def keys(self) -> Set[AttemptKey]:
        """Of what it contains."""
        return self._orders.keys()

    @property
    def is_busy(self) -> bool:
        """It contains something."""
        return bool(self._orders)

    def is_to_end(self, attempt_key: AttemptKey) -> bool:
        """Somebody wants it stopped, or not started."""
        return attempt_key in self._stops or attempt_key in self._revoked

    def of_lane(self, lane: int) -> list[AttemptOrder]:
        """Those that are not over, in the order in which they were given."""
        return [order for order in self._orders.values() if order.lane == lane]

    def lanes(self) -> dict[int, int | None]:
        """Of attempts that are not over."""
        return {key: order.lane for key, order in self._orders.items()}

    def share(self, lane: int, most: int | None, token: int) -> None:
        """Not repeated: see `Sharing.is_back`."""
        self.send(shares=[(lane, most, token)])

    def withdraw(self, attempts: list[AttemptKey]) -> None:
        """Nor is this: the next warden has them all."""
        self.send(withdraw=attempts)

    @property
    def environments(self) -> Mapping[str, Mapping[str, str]]:
        return self._environments

    def ask(self) -> None:
        """What there is to tell is wanted now. Not repeated: the next warden tells everything."""
        self.send(tell=True)

    def add_environment(self, name: str, variables: Mapping[str, str]) -> None:
        if name not in self._environments:
            self._environments[name] = dict(variables)
            self.send(environment=(name, self._environments[name]))

    def remove_environment(self, name: str) -> None:
        if self._environments.pop(name, None) is not None:
            self.send(forget_environment=name)
        # A workflow is over, which was a lane. At least every other one is not needed any more.
        if len(self._limits) > 2 * len(self._orders):
            lanes = {order.lane for order in self._orders.values()}
            self._limits = {lane: self._limits[lane] for lane in lanes}

    def start(self, orders: Iterable[AttemptOrder]) -> None:
        fresh = list(orders)
        for order in fresh:
            self._orders[order.attempt_key] = order
            self._limits[order.lane] = order.lane_limit
        self._send_orders(fresh)

    def stop(self, attempt_key: AttemptKey, grace_seconds: float | None) -> None:
        if attempt_key in self._orders:
            self._stops[attempt_key] = grace_seconds
            self._frozen.discard(attempt_key)
        self.send(stop=[(attempt_key, grace_seconds)])

    def revoke(self, attempt_key: AttemptKey) -> None:
        if attempt_key in self._orders:
            self._revoked.add(attempt_key)
        self.send(revoke=[attempt_key])

    def freeze(self, attempt_key: AttemptKey) -> None:
        if attempt_key in self._orders and attempt_key not in self._stops:
            self._frozen.add(attempt_key)
            self.send(freeze=[attempt_key])

    def thaw(self, attempt_key: AttemptKey) -> None:
        self._frozen.discard(attempt_key)
        self.send(thaw=[attempt_key])

    def acknowledge(self, attempts: list[AttemptKey]) -> list[AttemptOrder]:
        """Returns what `forget` does: an order may have been repeated after its end was told, and
        no later warden knows of it."""
        if attempts:
            self.send(acknowledge=attempts)
        return self.forget(self._orders.keys() & attempts)

    def forget(self, attempts: Collection[AttemptKey]) -> list[AttemptOrder]:
        """They are over: nothing more is wanted of them. Returns what their orders were."""
        known = self._orders
        orders = [known.pop(key) for key in attempts if key in known]
        if self._stops or self._revoked or self._frozen:  # rarely, and this is done for each job
            for key in attempts:
                self._stops.pop(key, None)
                self._revoked.discard(key)
                self._frozen.discard(key)
        return orders

    def repeat(self) -> None:
        """Say everything."""
        for name, variables in self._environments.items():
            self.send(environment=(name, variables))
        self._send_orders([self._as_of_now(order) for order in self._orders.values()])
        if self._stops:
            self.send(stop=list(self._stops.items()))
        if self._revoked:
            self.send(revoke=list(self._revoked))
        if self._frozen:
            self.send(freeze=list(self._frozen))

    def send(self, **orders: object) -> None:
        link = self._link()
        if link is not None:
            link.send(messages.line(**orders))

    def _as_of_now(self, order: AttemptOrder) -> AttemptOrder:
        """The limit of its lane may have been changed since it was given."""
        limit = self._limits[order.lane]
        if order.lane_limit == limit:
            return order
        return msgspec.structs.replace(order, lane_limit=limit)

    def _send_orders(self, orders: list[AttemptOrder]) -> None:
        for i in range(0, len(orders), ORDERS_IN_A_LINE):
            batch = orders[i : i + ORDERS_IN_A_LINE]
            line: dict[str, object] = {"start": batch}
            link = self._link()
            if link is not None and link.hello is not None and not link.hello.takes_after:
                # An earlier version's, which would start them at once: in the same breath they are
                # taken back, but for those that it knows already.
                line["revoke"] = [o.attempt_key for o in batch if o.after is not None]
            self.send(**line)
