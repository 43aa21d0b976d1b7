"""The account of CPUs, memory and GPUs: what the jobs that ask have, and what is left.

It covers all workflows together. A job has its share from the moment it is chosen (pending) until
its attempt is over, so that what is written down, and may start at any moment, is covered too.
"""

from bisect import insort

import msgspec

from torcd.model import AttemptKey, Capacity, Resources

BOUNDLESS = Capacity(cpus=1 << 31, memory_bytes=1 << 62, gpus=0)


class Share(msgspec.Struct, frozen=True, gc=False):
    """What a job gets of what it asks for; never more than there is, or it would wait for ever."""

    cpus: int
    """1 or more."""
    memory_bytes: int
    """0: it did not ask for any."""
    gpus: int


NOTHING = Share(0, 0, 0)


def share_of(resources: Resources, capacity: Capacity) -> Share:
    return Share(
        max(1, min(resources.num_cpus, capacity.cpus)),
        min(resources.memory_bytes or 0, capacity.memory_bytes),
        min(resources.num_gpus, capacity.gpus),
    )


class Holding(msgspec.Struct, frozen=True, gc=False):
    """What an attempt has."""

    share: Share
    gpus: tuple[int, ...]
    """Which ones."""


class Ledger:
    __slots__ = ("capacity", "cpus", "free_gpus", "held", "memory_bytes")

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self.cpus = capacity.cpus
        """Left over, as `memory_bytes` and `free_gpus`. Below zero when attempts of an earlier
        daemon run on that was told of more."""
        self.memory_bytes = capacity.memory_bytes
        self.free_gpus = list(range(capacity.gpus))
        """In order."""
        self.held: dict[AttemptKey, Holding] = {}
        """By the attempts of jobs that ask."""

    def fits(self, share: Share, beside: Share = NOTHING) -> bool:
        """Whether there is enough left for it, and for `beside` of whatever it takes some of."""
        return (
            share.cpus + beside.cpus <= self.cpus
            and (
                not share.memory_bytes
                or share.memory_bytes + beside.memory_bytes <= self.memory_bytes
            )
            and (not share.gpus or share.gpus + beside.gpus <= len(self.free_gpus))
        )

    def take(self, attempt_key: AttemptKey, share: Share) -> tuple[int, ...]:
        """Give it to an attempt; returns its GPUs, the lowest that are free."""
        gpus = tuple(self.free_gpus[: share.gpus])
        self.hold(attempt_key, share, gpus)
        return gpus

    def hold(self, attempt_key: AttemptKey, share: Share, gpus: tuple[int, ...]) -> None:
        """It has this already: an earlier daemon gave it."""
        self.held[attempt_key] = Holding(share, gpus)
        self.cpus -= share.cpus
        self.memory_bytes -= share.memory_bytes
        for gpu in gpus:
            if gpu in self.free_gpus:
                self.free_gpus.remove(gpu)

    def give_back(self, attempt_key: AttemptKey) -> None:
        """The attempt is over."""
        holding = self.held.pop(attempt_key)
        self.cpus += holding.share.cpus
        self.memory_bytes += holding.share.memory_bytes
        for gpu in holding.gpus:
            if gpu < self.capacity.gpus:
                insort(self.free_gpus, gpu)
