"""What the daemon and its warden say to each other: one JSON object a line.

The names are the warden's (`torcd.executors.warden.ledger`); an `AttemptOrder` and the
reports have them as JSON. A message from the daemon is an object whose keys are orders; the warden
takes those it knows. So a daemon can speak to a warden that an earlier version started: PROTOCOL
changes only when that is no longer so.
"""

import json

import msgspec

from torcd.executors.base import Report

PROTOCOL = 1


class Hello(msgspec.Struct, frozen=True):
    """The first thing a warden says."""

    protocol: int
    pid: int
    version: str
    cgroups: str | None = None
    """Where attempts get cgroups of their own; None: they don't."""
    takes_after: bool = False
    """It knows what an order's `after` is."""
    takes_shares: bool = False
    """It can be one of several: it knows `shares` and `withdraw`, and tells what waits."""


class Synced(msgspec.Struct, frozen=True):
    """It has told all it knows; what follows is news."""

    orphans: list[tuple[int, int]]
    """Key and pid of running attempts that an earlier warden started."""
    queued: list[int] = []
    """Keys of attempts that it has and that it has not told in a report: most wait their turn."""
    lanes: list[tuple[int, int, int]] = []
    """Of each lane in which anything runs or waits there: its key, how many may run there, and how
    many do."""


class FromWarden(msgspec.Struct, frozen=True):
    hello: Hello | None = None
    reports: list[Report] = []
    waiting: int | None = None
    """With reports that are news, or with none as the answer to a `tell`: how many attempts wait
    for a place there; none while another place is empty. A `tell` is not answered by itself
    while ends that were told are not acknowledged."""
    synced: Synced | None = None
    held_up: str | None = None
    """It cannot start anything for want of room on a disk; empty: it can again."""
    shared: list[tuple[int, int, list[int]]] = []
    """That shares hold now: of each the lane, its token, and the keys of those that run."""
    withdrawn: list[int] | None = None
    """The answer to a `withdraw`: which of these it has forgotten."""


decode = msgspec.json.Decoder(FromWarden).decode
_encode = msgspec.json.Encoder().encode


def line(**orders: object) -> bytes:
    try:
        return _encode(orders) + b"\n"
    except UnicodeEncodeError:  # bytes that were no UTF-8, as surrogates: JSON can say them escaped
        return json.dumps(msgspec.to_builtins(orders)).encode() + b"\n"
