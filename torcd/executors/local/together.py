"""What one warden tells is decided together with what the other one has to tell.

A job may wait for two that different wardens have run, and each decision takes a commit. Reports of
many short jobs are told at instants that all wardens share, so that of one is followed by that of
the other within a millisecond or two. Who tells before, as many have ended there and few wait, may
need what the other one knows for having more: that one is *asked*. In either case the first report
waits for the second, if so many wait for a place that none will be empty meanwhile. Who has told
ends that are not acknowledged is not asked, and nobody waits for it: it has little to tell.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from torcd.executors.base import Report
from torcd.executors.warden.lanes import outnumber
from torcd.model import AttemptKey

WAIT_SECONDS = 0.003
"""How long for the other one at most: it may have to wait for a CPU."""

ENOUGH = 8
"""While so many wait for a place there is that much time: a job takes half a millisecond."""


class Teller(Protocol):
    """A warden, as far as telling is concerned."""

    @property
    def is_busy(self) -> bool:
        """Something that it was ordered is not known to be over."""
        ...

    def ask(self) -> None:
        """Have it tell now what there is, be it nothing."""
        ...


class Together:
    def __init__(self, report: Callable[[list[Report]], None]) -> None:
        self._report = report
        self._first: list[Report] = []
        self._timer: asyncio.TimerHandle | None = None
        """While these wait."""
        self._undecided: dict[Teller, AttemptKey] = {}
        """Of those who have told ends that are not acknowledged: the last one."""
        self._asked: set[Teller] = set()
        """They have not told anything since. An answer need not come: see `FromWarden.waiting`."""

    def told(
        self,
        teller: Teller,
        reports: list[Report],
        *,
        ends: Sequence[AttemptKey],
        waiting: int | None,
        tellers: Iterable[Teller],
    ) -> None:
        """News of one of the tellers: these are over, and so many wait there; None: it did not
        say."""
        is_answer = teller in self._asked
        self._asked.discard(teller)
        if ends:
            self._undecided[teller] = ends[-1]
        may_wait = False
        if waiting is not None and not is_answer:
            others = [
                one
                for one in tellers
                if one is not teller and one.is_busy and one not in self._undecided
            ]
            if outnumber(len(ends), waiting):
                for one in others:
                    if one not in self._asked:
                        self._asked.add(one)
                        one.ask()
            may_wait = bool(others) and waiting >= ENOUGH
        if may_wait and reports and self._timer is None:
            self._first = reports
            self._timer = asyncio.get_running_loop().call_later(WAIT_SECONDS, self.pass_on, [])
        elif reports or self._timer is not None:
            self.pass_on(reports)

    def pass_on(self, reports: list[Report]) -> None:
        """At once, with all that waits before them."""
        if self._timer is not None:
            reports = self._first + reports
            self.close()
        self._report(reports)

    def forget(self, teller: Teller) -> None:
        """It is another warden now, which was asked nothing."""
        self._asked.discard(teller)
        self._undecided.pop(teller, None)

    def acknowledged(self, attempts: Collection[AttemptKey]) -> None:
        """The ends of these are on disk."""
        for teller, key in list(self._undecided.items()):
            if key in attempts:
                del self._undecided[teller]

    def close(self) -> None:
        """Forget what waits: who comes next is told again."""
        if self._timer is not None:
            self._timer.cancel()
        self._first, self._timer = [], None
