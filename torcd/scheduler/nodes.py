"""Jobs, and the gates between them.

A job that was added by another one is held, blocked, as long as it is not known whether that one
will add it again: from the moment at which the adder is to run again, or has begun to, until it has
said so, or has ended (`JobNode.is_to_be_held`).

Jobs do not know whom they wait for, only how many gates; gates know their consumers. One event
touches only the jobs behind the gates it moves, so its cost does not grow with the workflow.
"""

from collections.abc import Iterator
from operator import attrgetter

from torcd.model import ENDED_BADLY, Job, JobKey, Timestamp
from torcd.scheduler.job_states import BLOCKED, Disabled, Ended, Recovery, State, Trace
from torcd.scheduler.sharing import Share


class GateNode:
    """Something jobs wait for. It is open when nothing is missing."""

    __slots__ = ("consumers", "groups", "made", "made_at", "missing", "spoiled", "subject")

    kind: str
    is_input: bool
    """No job makes it."""
    opens_early: set[JobKey] | None
    """For `available: on_store`: the producers that have stored already."""
    members: tuple["GateNode", ...]
    """Of a group."""

    def __init__(self, subject: int) -> None:
        self.subject = subject
        self.missing = 0
        """Producers that have not finished; for an input, 1 while it is absent; for a group, closed
        members."""
        self.spoiled = False
        """A producer ended badly."""
        self.made = False
        """A producer completed (rather than being disabled)."""
        self.made_at = 0
        """The newest of the traces of its producers."""
        self.consumers: tuple[JobNode, ...] = ()
        self.groups: list[GateNode] | tuple[()] = ()
        """Those of which it is a member. Hardly any gate is, and an empty list has its size."""

    @property
    def producers(self) -> tuple["JobNode", ...]:
        raise NotImplementedError

    @property
    def all_consumers(self) -> Iterator["JobNode"]:
        """Those of the groups it is in as well; one may come twice."""
        yield from self.consumers
        for group in self.groups:
            yield from group.consumers

    def has_stored(self, producer: "JobNode") -> bool:
        """Whether this producer has lowered the gate already, by storing."""
        return self.opens_early is not None and producer.job.key in self.opens_early


is_spoiled = attrgetter("spoiled")
"""Of a gate."""


class JobGate(GateNode):
    """The end of a job. There may be one for each, so it keeps nothing that they have in common."""

    __slots__ = ("maker",)

    kind = "job"
    is_input = False
    opens_early = None
    members = ()

    def __init__(self, maker: "JobNode") -> None:
        super().__init__(maker.job.key)
        self.maker = maker

    @property
    def producers(self) -> tuple["JobNode", ...]:
        return (self.maker,)


class DeclaredGate(GateNode):
    """A file, a user_data, or a group.

    That of a group has members in place of producers: it is closed as long as one of theirs is, and
    spoiled when one of theirs is.
    """

    __slots__ = ("is_input", "kind", "members", "opens_early", "producers")

    def __init__(self, subject: int, kind: str, *, is_input: bool, opens_early: bool) -> None:
        super().__init__(subject)
        self.kind = kind
        self.is_input = is_input
        self.opens_early = set() if opens_early else None
        self.producers: tuple[JobNode, ...] = ()
        self.members = ()


Rank = tuple[float, ...]
"""The lower goes first."""


class Queue:
    """Ready jobs of a workflow that ask for the same."""

    __slots__ = ("heap", "share")

    def __init__(self, share: Share | None) -> None:
        self.share = share
        """None: they ask for nothing."""
        self.heap: list[tuple[Rank, int, JobNode]] = []
        """By rank and position. It may hold jobs that are no longer ready."""


class Rare:
    """What hardly any job has. All others share one of these."""

    __slots__ = ("added", "adder", "frozen_microseconds", "held")

    def __init__(self) -> None:
        self.adder: JobNode | None = None
        self.added: tuple[JobNode, ...] = ()
        self.held = False
        self.frozen_microseconds = 0


NOTHING_RARE = Rare()
"""It stays as it is."""


class JobNode:
    __slots__ = (
        "attempt_id",
        "awaits",
        "feeds",
        "job",
        "may_skip",
        "position",
        "queue",
        "rank",
        "rare",
        "recovery",
        "run_id",
        "state",
        "trace",
        "waits",
    )

    def __init__(self, job: Job, position: int, queue: Queue, rank: Rank) -> None:
        self.job = job
        self.position = position
        self.queue = queue
        """Where it stands when it is ready."""
        self.rank = rank
        self.state: State = BLOCKED
        self.waits = 0
        """How many of the gates it awaits are closed; and one more if it is held."""
        self.rare = NOTHING_RARE
        self.run_id = 1
        """The run of its newest attempt; without one, of its workflow."""
        self.attempt_id = 0
        """Of its newest attempt in that run; 0 without any."""
        self.trace: Trace | None = None
        """What it saw when it completed last, if it ever did."""
        self.recovery: Recovery | None = None
        self.may_skip = False
        """It need not run if its inputs turn out to be as they were."""
        self.awaits: tuple[GateNode, ...] = ()
        self.feeds: tuple[GateNode, ...] = ()
        """The gates of which it is a producer."""

    def _own(self) -> Rare:
        if self.rare is NOTHING_RARE:
            self.rare = Rare()
        return self.rare

    @property
    def adder(self) -> "JobNode | None":
        """The job that has added it."""
        return self.rare.adder

    @adder.setter
    def adder(self, adder: "JobNode") -> None:
        self._own().adder = adder

    @property
    def added(self) -> "tuple[JobNode, ...]":
        """Those that it has added."""
        return self.rare.added

    @added.setter
    def added(self, added: "tuple[JobNode, ...]") -> None:
        self._own().added = added

    @property
    def held(self) -> bool:
        return self.rare.held

    @held.setter
    def held(self, held: bool) -> None:
        self._own().held = held

    @property
    def frozen_microseconds(self) -> int:
        """How long its active attempt has been frozen, before the present freeze."""
        return self.rare.frozen_microseconds

    @frozen_microseconds.setter
    def frozen_microseconds(self, microseconds: int) -> None:
        if microseconds != self.rare.frozen_microseconds:
            self._own().frozen_microseconds = microseconds

    @property
    def has_script_to_run(self) -> bool:
        """Its next attempt, or the one under way, is that of a recovery script."""
        return self.recovery is not None and self.recovery.script is not None

    def rests(self, at: Timestamp) -> bool:
        """It is too early for its next attempt."""
        return self.recovery is not None and not self.has_script_to_run and at < self.recovery.until

    @property
    def is_hidden(self) -> bool:
        """There are jobs for its elements, and nothing is wrong with it."""
        return self.job.is_unfolded and self.state.status not in ENDED_BADLY

    @property
    def is_stopping(self) -> bool:
        return self.state.stop is not None

    @property
    def is_earlier(self) -> bool:
        """Its adder has had an attempt, or is to have one, that has not added it again."""
        adder, added = self.adder, self.job.added
        return (
            adder is not None
            and added is not None
            and (added.run_id, added.attempt_id) != (adder.run_id, adder.attempt_id)
        )

    @property
    def is_to_be_held(self) -> bool:
        adder = self.adder
        if adder is None or isinstance(adder.state, Ended | Disabled):
            return False
        return self.is_earlier
