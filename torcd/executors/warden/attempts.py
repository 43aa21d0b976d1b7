"""The attempts: take them up, have them started and reaped, clean up after them, forget them.

`starting` makes processes of them and `reaping` sees these end; here is what lies around that.

What may be killed between any two steps, and what holds then:

* An attempt is claimed in the journal before it is spawned; nobody starts a claimed one again,
  but who knows that it never was spawned (see `journal`).
* A child's status is read without reaping it, written down, and then it is reaped. So a successor
  finds the status in the journal or the child with our parent, the daemon, who is told to wait for
  it. An ended attempt is kept until the daemon has acknowledged it.
* What an attempt leaves behind becomes our child, since we are a subreaper. The attempt's final
  report waits until none of it is left.
"""

import os

from torcd.executors.warden import ledger
from torcd.executors.warden.cgroups import Cgroups
from torcd.executors.warden.cleaning import Cleaner
from torcd.executors.warden.following import Following, may_follow
from torcd.executors.warden.freezing import Freezer
from torcd.executors.warden.journal import Journal, say
from torcd.executors.warden.lanes import Lanes, outnumber
from torcd.executors.warden.ledger import ENDING, OVER, QUEUED, RUNNING, Attempt, Order
from torcd.executors.warden.orphans import Orphans
from torcd.executors.warden.reaping import Reaper
from torcd.executors.warden.starting import Starter

_NEVER = (None,) * 5


class Attempts:
    def __init__(
        self,
        state_id: int,
        journal: Journal,
        cleaner: Cleaner,
        orphans: Orphans,
        cgroups: Cgroups | None,
    ) -> None:
        self._journal = journal
        self._cleaner = cleaner
        self._orphans = orphans
        self._freezer = Freezer(cleaner)
        self._known: dict[int, Attempt] = {}
        self._lanes = Lanes()
        self._following = Following(self._known)
        self._leaders: dict[int, Attempt] = {}
        """Our children, by pid."""
        self.reports: list[str] = []
        """For the daemon, since they were last taken."""
        self.starter = Starter(state_id, journal, self._lanes, self._leaders, self.reports, cgroups)
        self.reaper = Reaper(journal, self.starter, cleaner, self._leaders)
        self.has_empty_place = False
        """A place for which nobody waited has become free since then, or one that is another
        warden's by now."""
        self._ends = 0
        """How many there are among the reports."""
        self._last_over = self._last_told = 0
        """The keys of what ended last, and of the last end that the daemon was told."""

    # What is asked of us

    def order(self, key: int, lane_key: int, lane_limit: int, order: Order) -> None:
        lane = self._lanes.lane(lane_key)
        if lane.limit != lane_limit:
            self._lanes.bound(lane, lane_limit)
        known = self._known.get(key)
        if known is not None:
            self._lanes.look_at(lane)  # it may have more places than before, or be empty
            self.reports += _told(known)
            return
        attempt = self._known[key] = Attempt(key, lane, order)
        if order.after is None:
            self._lanes.put(attempt)
            return
        leader = self._known.get(order.after)
        if leader is not None and leader.state != OVER:
            self._following.begin(leader, attempt)
        elif leader is None:
            self.revoke(key)
        elif not self._follows(leader, attempt):
            self._over(attempt)

    def refuse(self, key: int, problem: str) -> None:
        """An order that can't be carried out."""
        if key not in self._known:
            attempt = self._known[key] = Attempt(key, None, None)
            self._end(attempt, ledger.not_started(key, problem, ledger.now()))
            self._over(attempt)

    def stop(self, key: int, grace_seconds: float | None) -> None:
        attempt = self._known.get(key)
        if attempt is not None and attempt.state in (RUNNING, ENDING):
            self._cleaner.stop(attempt, grace_seconds)
        else:
            self.revoke(key)

    def revoke(self, key: int) -> None:
        """Take it out if it has not started."""
        attempt = self._known.get(key)
        if attempt is not None and attempt.state == QUEUED:
            self._take_out(attempt)
            self._over(attempt)

    def share(self, lane_key: int, share: int | None) -> list[int]:
        """At most so many of that lane run here; None: as many as orders say. Returns the keys of
        those that have a place now."""
        self._lanes.share(lane_key, share)
        return [
            attempt.key
            for attempt in self._known.values()
            if attempt.lane is not None
            and attempt.lane.key == lane_key
            and attempt.state in (RUNNING, ENDING)
        ]

    def forget_idle_shares(self) -> None:
        """Of lanes in which nothing runs or waits."""
        self._lanes.forget_shares_but({lane for lane, _, _ in self.lanes})

    def withdraw(self, keys: list[int]) -> list[int]:
        """Forget those of them that wait, without a trace, and return their keys: another warden
        may start them. Those that come after them are over."""
        # There may have been no room for one: then its claim has to be taken back first.
        if not self._journal.flush():
            return []
        withdrawn = []
        for key in keys:
            attempt = self._known.get(key)
            if attempt is not None and attempt.state == QUEUED:
                del self._known[key]
                attempt.state = OVER
                self._following.leave(attempt)
                withdrawn.append(attempt)
        self._lanes.withdraw(withdrawn)
        for attempt in withdrawn:
            for follower in attempt.followers:
                self.revoke(follower.key)
        return [attempt.key for attempt in withdrawn]

    def freeze(self, key: int) -> None:
        """Have it stand still, if it runs and nobody wants it ended."""
        attempt = self._known.get(key)
        if attempt is not None and attempt.state == RUNNING and not attempt.stopped:
            # First: a successor must know whom to thaw; on a full disk the daemon tells it.
            if not self._journal.write(ledger.frozen([key])):
                self._journal.later(ledger.frozen([key]))
            self._freezer.change(attempt, frozen=True)

    def thaw(self, key: int) -> None:
        attempt = self._known.get(key)
        if attempt is not None and attempt.frozen:
            self._freezer.change(attempt, frozen=False)
            self._journal.later(ledger.thawed([key]))

    def acknowledge(self, keys: list[int]) -> None:
        """The daemon has their ends on disk."""
        # A report that was repeated is acknowledged twice, maybe in one breath.
        once = dict.fromkeys(keys)
        forgotten = [k for k in once if k in self._known and self._known[k].state == OVER]
        for key in forgotten:
            del self._known[key]
        if forgotten:
            self._journal.later(ledger.acknowledged(forgotten))
            if self._journal.worth_rewriting:
                self.rewrite_journal()

    def orphan_ended(self, key: int, code: int | None) -> None:
        """An attempt of an earlier warden; None: nobody can tell how."""
        attempt = self._known.get(key)
        if attempt is None or attempt.pidfd < 0:
            return
        self._orphans.told(attempt)
        os.close(attempt.pidfd)  # which also takes it out of epoll
        attempt.pidfd = -1
        if code is None:
            problem = "its warden died, and this kernel (before 6.15) does not tell how it ended"
            self._end(attempt, ledger.lost(key, problem, ledger.now()))
        else:
            self._end(attempt, ledger.exited(key, code, ledger.now()))
        self._cleaner.condemn(attempt)

    def inherit(self, attempt: Attempt, lane_key: int | None) -> None:
        """An attempt of an earlier warden: running, or ended and not acknowledged."""
        self._known[attempt.key] = attempt
        if attempt.state == RUNNING:
            self._orphans.watch(attempt)
            if lane_key is not None:
                attempt.lane = self._lanes.lane(lane_key)
                attempt.lane.running += 1
        elif attempt.state == ENDING:
            self._cleaner.condemn(attempt)

    # What is known of us

    @property
    def in_cgroups(self) -> set[str]:
        """The paths of those that are somebody's."""
        return {attempt.cgroup for attempt in self._known.values() if attempt.cgroup}

    def all_reports(self) -> list[str]:
        """All there is to say of all of them."""
        return [line for attempt in self._known.values() for line in _told(attempt)]

    @property
    def untold(self) -> list[int]:
        """The keys of those of which there is nothing to say yet."""
        return [attempt.key for attempt in self._known.values() if not _told(attempt)]

    @property
    def lanes(self) -> list[tuple[int, int, int]]:
        """Of each in which anything runs or waits: its key, how many may run here, how many do."""
        return self._lanes.figures(a.lane for a in self._known.values() if a.lane is not None)

    @property
    def at_rest(self) -> bool:
        """Nothing is running or waiting."""
        return all(attempt.state == OVER for attempt in self._known.values())

    @property
    def none(self) -> bool:
        return not self._known

    @property
    def urgent(self) -> bool:
        """The daemon is to know at once: something has ended, and in some lane nobody waited when a
        place became free; or nobody waits for a place, or few do and many have ended: with what
        these make ready others come before no one waits any more, unless some are about to come.
        That something has started is not urgent: nobody waits for it, and it may end before it is
        told."""
        if not self._ends:
            return False
        if self.has_empty_place:
            return True
        if self.awaits_decision:
            return False
        if waiting := self._lanes.waiting:
            return outnumber(self._ends, waiting)
        return not any(a.followers for a in self._leaders.values())

    @property
    def awaits_decision(self) -> bool:
        """Ends that the daemon was told are not acknowledged: it is about to decide what comes of
        them. What it was told now would take a decision and a commit of its own."""
        return self._last_told in self._known

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return self._lanes.waiting

    def take_reports(self) -> list[str]:
        """What the daemon is told now."""
        reports = self.reports.copy()
        self.reports.clear()
        if self._ends:
            self._last_told = self._last_over
        self._ends, self.has_empty_place = 0, False
        return reports

    @property
    def due(self) -> float | None:
        """When `settle` is to be called though nothing has happened; monotonic seconds."""
        times = (
            self.starter.due,
            self._cleaner.due,
            self._freezer.due,
            self.reaper.due,
            next(iter(self._following.patience.values()), None),
        )
        if times == _NEVER:  # as a rule, and this is asked in each turn
            return None
        return min(t for t in times if t is not None)

    # What happens

    def settle(self) -> None:
        """What is to be done after anything has happened. What is to be in the journal need not be
        there yet: see `write_down`."""
        self._freezer.settle(self._leaders)
        for attempt in self._cleaner.clean(self._leaders):
            self._over(attempt)
        if self._following.patience:
            for key in self._following.given_up():
                self.revoke(key)
        for attempt in self.starter.fill():
            self._over(attempt)
        if not self._leaders:
            self.starter.leave_directory()

    def write_down(self) -> None:
        """Have all that was said so far in the journal. Before that, a successor finds what was
        claimed and started by its marker; where there are none, it is written down at once."""
        self._journal.flush()

    def rewrite_journal(self) -> None:
        """Leave in it what is needed: less will do, or the old one if there is no room."""
        try:
            self._journal.rewrite(self.facts())
        except OSError as error:
            say(f"cannot rewrite the journal: {error}")

    def facts(self) -> list[str]:
        """What the journal has to tell of all that were claimed or are over; first of those that
        have ended, so that they are told before what came after them."""
        claims = [a for a in self._known.values() if a.state == RUNNING]
        ended = [a for a in self._known.values() if a.state != RUNNING]
        facts = [line for a in ended for line in (a.line, a.final) if line]
        if claims:
            facts.append(ledger.claimed(claims))
            facts += [attempt.line for attempt in claims]
        frozen = [a.key for a in claims if a.frozen]
        if frozen:
            facts.append(ledger.frozen(frozen))
        return facts

    def _end(self, attempt: Attempt, final: str) -> None:
        attempt.end(final)
        self._journal.later(final)

    def _over(self, attempt: Attempt) -> None:
        """Nothing of it is left: its place is free, those that come after it take their turn or
        are over as well, and the daemon may know."""
        over = [attempt]
        for one in over:
            if one.usage is not None:
                one.final = ledger.with_usage(one.final, *one.usage)
                self._journal.later(one.final)
                one.usage = None
            one.state = OVER
            if one.followers:
                self._following.over(one)
                over += [each for each in one.followers if not self._follows(one, each)]
            if one.lane is not None:
                one.lane.running -= 1
                self.has_empty_place |= not one.lane.queue or one.lane.running >= one.lane.places
                self._lanes.look_at(one.lane)
                one.lane = None
            self.reports.append(one.final)
            self._ends += 1
            self._last_over = one.key

    def _follows(self, leader: Attempt, attempt: Attempt) -> bool:
        """Of one that comes after one that is over. False: it is over as well, and that remains to
        be said."""
        if attempt.state != QUEUED:
            return True  # it was taken back meanwhile
        if may_follow(leader, attempt):
            self._lanes.put_follower(attempt)
            return True
        self._take_out(attempt)
        return False

    def _take_out(self, attempt: Attempt) -> None:
        """It will not start."""
        if attempt.lane is not None:
            self._lanes.look_at(attempt.lane)  # it may be empty now
            attempt.lane = None
        self._end(attempt, ledger.not_started(attempt.key, None, ledger.now()))


def _told(attempt: Attempt) -> list[str]:
    line = "" if attempt.starting else attempt.line
    final = attempt.final if attempt.state == OVER else ""
    return [line for line in (line, final) if line]
