"""What the warden knows of each attempt, and the lines in which it says so.

An attempt is *queued* (waiting for a place in its lane), *running* (claimed; it has a process),
*ending* (its leader is over and what it left behind is being killed) or *over* (its final line has
been given, and is kept until the daemon acknowledges it). It is an *orphan* if another warden
started it: its process is not our child, and we learn of its end in other ways (see `orphans`).

The lines are JSON arrays, a word first. The same line goes to the journal and to the daemon;
readers take the items they know and ignore what follows them.
"""

import json
import time
from collections import deque

TYPE_CHECKING = False  # as in typing, whose import would cost the warden memory
if TYPE_CHECKING:
    from typing import TypedDict

    from torcd.executors.warden.direct import Environment

    class User(TypedDict):
        """Another user whom an attempt runs as."""

        uid: int
        gid: int
        groups: list[int]
        limits: list[tuple[int, int, int]]
        """Number, soft and hard value of resource limits (setrlimit); the others are inherited."""

    class OrderMessage(TypedDict):
        """An order as the daemon sends it."""

        key: int
        lane: int
        lane_limit: int
        """It holds from now on, also if the attempt is known already."""
        argv: list[str]
        plain: list[str] | None
        base: str
        env: dict[str, str]
        cwd: str
        stdout: str | None
        stderr: str | None
        user: "User | None"
        after: tuple[int, str] | None
        """A key, and a path: see `torcd.executors.base.After`."""

    class Settings(TypedDict):
        leave_children: bool

    class Message(TypedDict, total=False):
        """What the daemon may say in a line."""

        hello: Settings
        environment: tuple[str, dict[str, str]]
        forget_environment: str
        shares: list[tuple[int, int | None, int]]
        """Of lanes, by key: so many attempts may run here, whatever orders say. It holds until it
        is changed, for an empty lane too; None: there is no share any more. The answer is `shared`:
        the key, the third number as it came, and the keys of those that run."""
        start: list[OrderMessage]
        stop: list[tuple[int, float | None]]
        revoke: list[int]
        withdraw: list[int]
        """Forget those that wait, without a trace: another warden may start them. The answer is
        `withdrawn`, the keys of those that were forgotten."""
        freeze: list[int]
        thaw: list[int]
        settled: list[tuple[int, int]]
        """Keys and return codes of orphans that are the daemon's children."""
        acknowledge: list[int]
        tell: bool
        """What there is is wanted now, be it nothing."""
        retire: bool
        """End when nothing is left to do and all is acknowledged."""


QUEUED, RUNNING, ENDING, OVER = range(4)


class Order:
    """What to start."""

    __slots__ = (
        "after",
        "argv",
        "base",
        "cwd",
        "env",
        "plain",
        "stderr",
        "stdout",
        "unless_exists",
        "user",
    )

    def __init__(self, message: "OrderMessage", base: "Environment") -> None:
        self.argv = message["argv"]
        self.plain = message.get("plain")
        """The same without the shell, where it does without (see `AttemptOrder`); an older daemon
        does not say it."""
        self.base = base
        """Shared with others of the same environment."""
        self.env = message["env"]
        self.cwd = message["cwd"]
        self.stdout = message["stdout"]
        self.stderr = message["stderr"]
        self.user = message.get("user")
        """None: whoever the warden is."""
        after = message.get("after")
        self.after: int | None = None if after is None else after[0]
        """The attempt it comes after."""
        self.unless_exists = "" if after is None else after[1]
        """A path that must not be there then."""


class Attempt:
    __slots__ = (
        "born",
        "cgroup",
        "deadline",
        "final",
        "followers",
        "frozen",
        "key",
        "lane",
        "line",
        "order",
        "orphan",
        "pid",
        "pidfd",
        "starting",
        "state",
        "stopped",
        "uid",
        "usage",
    )

    def __init__(self, key: int, lane: "Lane | None", order: "Order | None") -> None:
        self.key = key
        self.lane = lane
        """None: it takes no place."""
        self.order = order
        """What to start; None once it has been."""
        self.state = QUEUED
        self.orphan = False
        self.uid = order.user["uid"] if order is not None and order.user else None
        """Of the user whom it runs as; None: it is this process's."""
        self.pid = 0
        """Of its leader; 0 before there is one."""
        self.born: int | None = None
        """The leader's start time, where it is needed to tell it from another of the same pid."""
        self.cgroup = ""
        """The path of its own; empty: it has none."""
        self.followers: list[Attempt] | tuple[()] = ()
        """Those that come after it. Hardly any has some."""
        self.frozen = False
        """It stands still, or is about to."""
        self.starting = False
        """It has a process, which has yet to become its program (see `as_user`)."""
        self.pidfd = -1
        """An orphan's."""
        self.deadline: float | None = None
        """When what is left of it gets SIGKILL, in monotonic seconds; it got SIGTERM."""
        self.stopped = False
        """Somebody wants it ended."""
        self.usage: tuple[float | None, int | None, int] | None = None
        """What its cgroup had to tell when it was removed (see `cgroups.usage`)."""
        self.line = ""
        """The line that says it was started."""
        self.final = ""
        """The line that says how it ended; it counts once the attempt is over."""

    def end(self, final: str) -> None:
        """It has no leader any more, or never had one."""
        self.state = ENDING
        self.order = None
        self.final = final


class Lane:
    """Attempts that share a limit."""

    __slots__ = ("key", "limit", "places", "queue", "running", "tries")

    def __init__(self, key: int) -> None:
        self.key = key
        self.limit = 0
        """As it was ordered last."""
        self.places = 0
        """How many may run here: the limit, or our share of the newest one (see `Lanes`)."""
        self.running = 0
        self.queue: deque[Attempt] = deque()
        self.tries = 0
        """How often in a row its user had no room for a process."""

    def take(self, batch: list[Attempt], most: int) -> None:
        """Put those whose turn it is into the batch, as long as it has fewer than `most`; they
        have a place."""
        queue = self.queue
        while queue and self.running < self.places and len(batch) < most:
            attempt = queue.popleft()
            if attempt.state == QUEUED:  # else it was stopped while it waited
                self.running += 1
                batch.append(attempt)

    def give_back(self, attempt: Attempt) -> None:
        """It could not be started yet, and is the next again."""
        self.running -= 1
        self.queue.appendleft(attempt)

    def sweep(self) -> None:
        """Have none in the queue that does not wait any more."""
        self.queue = deque(attempt for attempt in self.queue if attempt.state == QUEUED)

    @property
    def empty(self) -> bool:
        return not self.running and not self.queue


def now() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


def started(key: int, pid: int, at: int, born: int | None) -> str:
    return '["started",%d,%d,%d,%s]' % (key, pid, at, "null" if born is None else born)


def exited(key: int, code: int, at: int, cpu: float | None = None, peak: int | None = None) -> str:
    """`cpu` in seconds, `peak` in bytes, `at` in microseconds since the epoch."""
    if cpu is None or peak is None:
        return '["exited",%d,%d,%d,null,null]' % (key, code, at)
    return '["exited",%d,%d,%d,%.6f,%d]' % (key, code, at, cpu, peak)


def with_usage(final: str, cpu: float | None, peak: int | None, oom_kills: int) -> str:
    """An `exited` with better figures, where they are known; other lines as they are."""
    word, *facts = json.loads(final)
    if word != "exited":
        return final
    key, code, at, known_cpu, known_peak = facts[:5]
    cpu = known_cpu if cpu is None else round(cpu, 6)
    return json.dumps([word, key, code, at, cpu, peak or known_peak, oom_kills])


def not_started(key: int, problem: str | None, at: int) -> str:
    return json.dumps(["not_started", key, at, problem and _text(problem)])


def never_ran(final: str) -> bool:
    return final.startswith('["not_started"')


def ended_well(final: str) -> bool:
    word, _, code, *_ = json.loads(final)
    return bool(word == "exited" and code == 0)


def lost(key: int, problem: str, at: int) -> str:
    return json.dumps(["lost", key, at, _text(problem)])


def _text(problem: str) -> str:
    """Names of files may hold bytes that are no text, and strict readers refuse them."""
    return problem.encode(errors="backslashreplace").decode()


def claimed(attempts: list[Attempt]) -> str:
    """From here on they are this warden's, and nobody else will ever start them. Of those that run
    as another user the uid is told, too."""
    # By hand, as what is said of each attempt: the encoder takes longer than the write.
    claims = [
        "[%d,%s%s]"
        % (a.key, a.lane.key if a.lane else "null", "" if a.uid is None else f",{a.uid}")
        for a in attempts
    ]
    return '["claimed",[%s]]' % ",".join(claims)


def frozen(keys: list[int]) -> str:
    """They stand still until it is said that they thawed."""
    return json.dumps(["frozen", keys])


def thawed(keys: list[int]) -> str:
    return json.dumps(["thawed", keys])


def returned(keys: list[int]) -> str:
    """They were claimed, and it is certain that they were never started."""
    return json.dumps(["returned", keys])


def acknowledged(keys: list[int]) -> str:
    return '["acknowledged",%s]' % keys
