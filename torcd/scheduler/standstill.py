"""Nothing can be written down for a while: what becomes of decisions, facts and requests.

What was decided and could not be written has never been: the scheduler starts over from what is on
disk (`Scheduler.start_over`), once to stand still, for whoever looks, and once more to go on, when
there is room. Standing still it decides nothing: it drains, and its commands are for nobody. The
time before the first workflow is loaded is a standstill too.

Facts about the world stay true, and none may be lost or taken for another:

* That an attempt started is not on disk. It is kept and told again before any end, or an end would
  be that of an attempt which started the moment it ended.
* That an attempt exited or is lost is kept, and told again when it goes on; not what it left
  behind, which is large, is still there, and is looked at again.
* That one never started is kept only of an attempt that nobody waits for any more (the executor
  wants it acknowledged). Of an active one it may be half of a decision that was taken back. Its
  order is repeated when it goes on, and so will be the report.
* Files that appeared are looked for anew.

Requests are refused by whoever took them, but for those that stop something, which the store keeps
a little room for (`URGENT`). They are decided upon what is on disk and what is known besides, as
when it goes on, and all stands still again.
"""

from collections.abc import Iterable

import msgspec

from torcd.model import AttemptKey
from torcd.scheduler.commands import Command, SaveAttempt
from torcd.scheduler.events import (
    AttemptExited,
    AttemptLost,
    AttemptNotStarted,
    AttemptStarted,
    CancelRequested,
    Event,
    Outputs,
    PauseRequested,
    TimePassed,
)
from torcd.scheduler.job_states import Running
from torcd.scheduler.machine import Scheduler

End = AttemptExited | AttemptLost | AttemptNotStarted

URGENT = (CancelRequested, PauseRequested, TimePassed)
"""A job that fills the disk can be stopped only by these."""


class Standstill:
    """The facts that are kept. There are no more of them than attempts, twice."""

    def __init__(self) -> None:
        self._starts: dict[AttemptKey, AttemptStarted] = {}
        self._ends: dict[AttemptKey, End] = {}

    def remember(self, scheduler: Scheduler, undone: Iterable[Command]) -> None:
        """Before the scheduler starts over: which attempts run, or did until their end, which is
        among the commands that could not be written."""
        for command in undone:
            if isinstance(command, SaveAttempt) and command.started_at is not None:
                key = command.attempt_key
                self._starts[key] = AttemptStarted(key, command.started_at)
        for node in scheduler.workflows.values():
            actions = node.actions.nodes if node.actions is not None else ()
            for state in (*(j.state for j in node.jobs.values()), *(a.state for a in actions)):
                if isinstance(state, Running):
                    self._starts[state.attempt_key] = AttemptStarted(
                        state.attempt_key, state.started_at
                    )

    def note(self, scheduler: Scheduler, fact: Event) -> list[Command]:
        """Something that is true, and cannot be written down. Of what is decided about it, only
        when to be woken is for anybody."""
        match fact:
            case AttemptStarted():
                self._starts.setdefault(fact.attempt_key, fact)
                return scheduler.handle(fact)
            case AttemptNotStarted() if scheduler.is_active(fact.attempt_key):
                pass
            case AttemptExited():
                kept = msgspec.structs.replace(fact, outputs=Outputs(), withdrawal=None)
                self._ends.setdefault(fact.attempt_key, kept)
            case AttemptLost() | AttemptNotStarted():
                self._ends.setdefault(fact.attempt_key, fact)
            case _:
                pass
        return []

    @property
    def starts(self) -> list[AttemptStarted]:
        """To be told after loading; of attempts that are not active they change nothing."""
        return list(self._starts.values())

    @property
    def newest_attempt(self) -> int:
        """The highest key of those of which anything was told; 0 if nothing was."""
        return max((*self._starts, *self._ends), default=0)

    def end(self) -> list[End]:
        """It goes on, and this is still to be told."""
        ends = list(self._ends.values())
        self._starts, self._ends = {}, {}
        return ends
