"""All that can go wrong, each with its name. A fault strikes between two steps of anybody."""

from collections import deque

from torcd.model import AttemptKey, Timestamp
from torcd.scheduler import events as e
from torcd.scheduler.commands import RevokeAttempt, StopAttempt

from .executor import Acknowledge, Life
from .workflows import Pick
from .world import World


class Fault:
    def __repr__(self) -> str:
        return type(self).__name__

    def strike(self, world: World, pick: Pick) -> bool:
        """False when there was nothing that could go wrong in this way."""
        raise NotImplementedError


class DaemonDies(Fault):
    """Killed between any two steps; the executor and its jobs live on."""

    def strike(self, world: World, pick: Pick) -> bool:
        return world.crash(pick)


class ExecutorDies(Fault):
    """The jobs go with it, and the daemon gives what has not started to the next one."""

    def strike(self, world: World, pick: Pick) -> bool:
        world.executor.die(world.tick(), forgets_the_queue=False)
        return True


class ExecutorIsReplaced(Fault):
    """It dies, its jobs run on, and the next one takes them over and says all it has read. What
    was on the way from or to it is lost, but for orders, which the daemon gives again."""

    def strike(self, world: World, pick: Pick) -> bool:
        executor = world.executor
        orders = [order for order in executor.mailbox if not isinstance(order, Acknowledge)]
        executor.mailbox = deque(orders)
        executor.say_everything_again()
        return bool(executor.attempts)


class BothDie(Fault):
    """At once. Jobs run on, and of some nobody can tell any more how they ended."""

    def strike(self, world: World, pick: Pick) -> bool:
        if not world.crash(pick):
            return False
        world.executor.mailbox.clear()
        world.executor.die(world.tick(), forgets_the_queue=True, is_lost=lambda: pick(3) == 2)
        world.executor.reports = []
        return True


class PowerFails(Fault):
    """Both die at once: what ran is lost, what was not claimed has never been heard of."""

    def strike(self, world: World, pick: Pick) -> bool:
        if not world.crash(pick):
            return False
        world.executor.mailbox.clear()
        world.executor.die(world.tick(), forgets_the_queue=True)
        world.executor.reports = []
        return True


class AcknowledgementIsLost(Fault):
    """The executor goes on believing that nobody knows how an attempt ended."""

    def strike(self, world: World, pick: Pick) -> bool:
        lost = [todo for todo in world.to_do if isinstance(todo, Acknowledge)]
        if not lost:
            return False
        world.to_do.remove(lost[pick(len(lost))])
        return True


class ReportIsRepeated(Fault):
    """Any report ever made comes again, however late."""

    def strike(self, world: World, pick: Pick) -> bool:
        said = world.executor.said
        if world.scheduler is None or not said:
            return False
        world.executor.reports.append(said[-1 - pick(min(len(said), 40))])
        return True


class ReportsAreReordered(Fault):
    def strike(self, world: World, pick: Pick) -> bool:
        reports = world.executor.reports
        if len(reports) < 2:
            return False
        reports.insert(0, reports.pop(1 + pick(len(reports) - 1)))
        return True


class ReportAboutAStranger(Fault):
    """Somebody else's attempt, or one of another age of the world."""

    def strike(self, world: World, pick: Pick) -> bool:
        if world.scheduler is None:
            return False
        key = AttemptKey(1_000_000 + pick(3))
        event = (
            e.AttemptStarted(key, world.tick()),
            e.AttemptNotStarted(key, None, world.tick()),
            e.AttemptLost(key, "nobody knows", world.tick()),
        )[pick(3)]
        world.requests.append(event)
        return True


class ExitRacesStop(Fault):
    """It was told to stop, and ends by itself before that takes effect."""

    def strike(self, world: World, pick: Pick) -> bool:
        racing = [a for a in world.executor.can_end() if a.is_told_to_stop]
        racing += [
            a
            for a in world.executor.can_end()
            if any(
                isinstance(order, StopAttempt) and order.attempt_key == a.order.attempt_key
                for order in (*world.to_do, *world.executor.mailbox)
            )
        ]
        if not racing:
            return False
        world.executor.end(racing[pick(len(racing))], world.tick())
        return True


class StartRacesRevoke(Fault):
    """It starts while the order that would have taken it back is on its way."""

    def strike(self, world: World, pick: Pick) -> bool:
        revoked = {
            order.attempt_key
            for order in (*world.to_do, *world.executor.mailbox)
            if isinstance(order, RevokeAttempt | StopAttempt)
        }
        racing = [
            a
            for a in world.executor.startable()
            if a.life is Life.QUEUED and a.order.attempt_key in revoked
        ]
        if not racing:
            return False
        world.executor.begin(racing[pick(len(racing))], world.tick())
        return True


class DiskIsFull(Fault):
    """From now on no commit succeeds, until somebody makes room."""

    def strike(self, world: World, pick: Pick) -> bool:
        was_full, world.disk_is_full = world.disk_is_full, True
        return not was_full


class ClockIsPutBack(Fault):
    def strike(self, world: World, pick: Pick) -> bool:
        world.now = Timestamp(max(0, world.now - 3_600_000_000))
        return True


class ClockIsPutForth(Fault):
    def strike(self, world: World, pick: Pick) -> bool:
        world.now = Timestamp(world.now + 3_600_000_000)
        return True


RACES: tuple[Fault, ...] = (ExitRacesStop(), StartRacesRevoke())

FAULTS: tuple[Fault, ...] = (
    DaemonDies(),
    ExecutorDies(),
    ExecutorIsReplaced(),
    BothDie(),
    PowerFails(),
    AcknowledgementIsLost(),
    ReportIsRepeated(),
    ReportsAreReordered(),
    ReportAboutAStranger(),
    DiskIsFull(),
    ClockIsPutBack(),
    ClockIsPutForth(),
    *RACES,
)
