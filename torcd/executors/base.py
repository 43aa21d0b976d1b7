"""What an executor is: something that runs attempts and reports what became of them.

The contract, which every implementation keeps and `tests/contracts` checks:

1. An attempt is started at most once in its life, whoever is killed when. `start` may be called
   again for an attempt that is already known (after a restart every active attempt is): it starts
   what was never claimed, and otherwise only repeats the reports about it.
2. Every started attempt ends in exactly one final report (`Exited`, `Lost`), and one that never
   started in `NotStarted`. A final report is repeated after every restart until it is acknowledged.
3. In a lane at most `lane_limit` attempts run at once. Those beyond it wait inside the executor,
   which starts them itself as places come free, without asking back, in the order in which they
   were given, or nearly so where it has several to start them; until then `stop` takes them out
   again (`NotStarted`, with no problem).
4. When the final report of an attempt is given, no process of it is left (unless the configuration
   says that children may be left behind).
5. A frozen attempt stands still, all its processes, until it is thawed or stopped, whoever is
   killed meanwhile. What has ended may still be told.
6. An order may come after another attempt: it waits until that one is over, outside its lane, and
   then takes its turn in it, if that one ended well: by itself, with status 0, leaving no file
   where none is expected. If it did not, or takes long, or nobody knows it, the order is over as
   well (`NotStarted`, with no problem).
7. Reports may be late, repeated, and out of order between attempts; but how an attempt ended is
   told before it is told that one that comes after it has started.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec
from anyio.abc import TaskStatus

from torcd.accounts import Account
from torcd.model import AttemptKey, Timestamp


class After(msgspec.Struct, frozen=True, array_like=True):
    """What is to end well before."""

    attempt_key: AttemptKey
    """NO_ATTEMPT: an earlier executor was given this order, and told which one it is."""
    unless_exists: str
    """A path; if it is there when that attempt has ended, somebody else has to look at how it
    ended."""


class AttemptOrder(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={"attempt_key": "key", "base_environment": "base", "environment": "env"},
):
    """Run this once. As JSON it is what a warden takes, of any version."""

    attempt_key: AttemptKey
    lane: int
    """Orders of one lane share a limit; a lane is a workflow."""
    lane_limit: int
    argv: tuple[str, ...]
    """The program and its words; a program without a slash is looked up in the PATH of its
    environment."""
    plain: tuple[str, ...] | None = None
    """The words of a command that `argv` hands to bash, if bash would do nothing but run them: an
    executor that sees to it that the program notices nothing may run it itself."""
    base_environment: str
    """The name of a set of variables given before by `add_environment`."""
    environment: Mapping[str, str]
    """Variables on top of that, of this attempt alone."""
    cwd: str
    stdout: str | None
    """The file to create; None: nowhere (/dev/null)."""
    stderr: str | None
    """The same; equal to `stdout`: both into one file, in the order written."""
    user: Account | None = None
    """Whom it runs as, with all that is done before; the directories of its logs are theirs. None:
    the user whom the executor runs as."""
    after: After | None = None


# As JSON reports are what a warden writes down and says, of any version.


class Started(msgspec.Struct, frozen=True, array_like=True, tag="started"):
    attempt_key: AttemptKey
    pid: int
    at: Timestamp


class Exited(msgspec.Struct, frozen=True, array_like=True, tag="exited"):
    """It ran, and it is over."""

    attempt_key: AttemptKey
    return_code: int
    """The exit status, or minus the number of the signal that killed it."""
    at: Timestamp
    cpu_seconds: float | None
    """User and system time: with a cgroup, of all its processes; otherwise of it and all
    descendants waited for; None where nobody could tell."""
    peak_memory_bytes: int | None
    """With a cgroup that has the memory controller: the most that all its processes took at a time,
    page cache included. Otherwise the peak resident set of its largest process. Of that the kernel
    counts what it was before it became the program, too: it is never less than the warden's own,
    some 15 MB."""
    oom_kills: int = 0
    """How many processes of it the kernel has killed because memory ran out. Only known with a
    cgroup that has the memory controller."""


class NotStarted(msgspec.Struct, frozen=True, array_like=True, tag="not_started"):
    """It never ran, and never will."""

    attempt_key: AttemptKey
    at: Timestamp
    problem: str | None
    """Why it could not be started, for people; None: it was stopped or revoked before its turn."""


class Lost(msgspec.Struct, frozen=True, array_like=True, tag="lost"):
    """It ran, it is over, and nobody can tell how it ended."""

    attempt_key: AttemptKey
    at: Timestamp
    problem: str


Report = Started | Exited | NotStarted | Lost


class Executor(Protocol):
    """Runs attempts. None of the methods but `run` blocks or waits."""

    @property
    def held_up(self) -> str | None:
        """What keeps it from starting anything for now, for people; None: nothing does. When it
        changes, `report` is called, with no reports if there are none."""
        ...

    async def run(
        self,
        report: Callable[[list[Report]], None],
        *,
        task_status: TaskStatus[None],
    ) -> None:
        """Serve until cancelled; ready when `start` may be called. Attempts outlive it. What is
        known of attempts given to an earlier executor may be reported before that, and before
        anybody has asked."""
        ...

    def add_environment(self, name: str, variables: Mapping[str, str]) -> None:
        """Give a set of variables a name; again with the same name replaces nothing."""
        ...

    def remove_environment(self, name: str) -> None:
        """Forget it. No attempt that names it may be without its final report."""
        ...

    def start(self, orders: Iterable[AttemptOrder]) -> None:
        """Take these up, in this order; what is known already is only reported again."""
        ...

    def stop(self, attempt_key: AttemptKey, grace_seconds: float | None) -> None:
        """End it and all its processes: with SIGKILL at once, or, with a grace time, SIGTERM to
        all of them, and SIGKILL to what is left after it."""
        ...

    def revoke(self, attempt_key: AttemptKey) -> None:
        """Take it out if it has not started (`NotStarted`, with no problem); otherwise let it
        run."""
        ...

    def freeze(self, attempt_key: AttemptKey) -> None:
        """Have it stand still, if it runs and nobody has stopped it."""
        ...

    def thaw(self, attempt_key: AttemptKey) -> None:
        """Let it go on, if it is frozen."""
        ...

    def acknowledge(self, attempts: Iterable[AttemptKey]) -> None:
        """Their final reports are on disk; forget them. Due for every final report, also for one
        that is repeated or about an attempt that is over for long: until then it comes back."""
        ...
