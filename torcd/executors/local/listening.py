"""What supervisors are told, and whom they tell."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from torcd.executors.base import AttemptOrder, Report
from torcd.executors.local.messages import Synced
from torcd.model import AttemptKey

if TYPE_CHECKING:
    from torcd.executors.local.supervisor import Supervisor


class Log(Protocol):
    """What is used of a structlog logger."""

    def info(self, event: str, **facts: object) -> object: ...
    def error(self, event: str, **facts: object) -> object: ...
    def warning(self, event: str, **facts: object) -> object: ...


class Settings(msgspec.Struct, frozen=True):
    """What all wardens of a daemon have in common."""

    home: Path
    """Where the state id is."""
    boot_id: str
    state_id: int
    leave_children: bool
    cgroups: str
    mode: int
    """Of their home."""


class Listener(Protocol):
    """Who hears what wardens tell."""

    def told(
        self,
        supervisor: "Supervisor",
        reports: list[Report],
        over: list[AttemptOrder],
        waiting: int | None,
    ) -> None:
        """In the order in which the warden tells; before it is `reached`, all that it knows.
        `over`: the orders, given by us, of which this is the end. `waiting`: how many wait for a
        place there; None: that was not told."""
        ...

    def reached(self, supervisor: "Supervisor", synced: Synced) -> None:
        """The first warden, or the next, has told all it knows. What is said to it now it hears
        before all orders."""
        ...

    def informed(self) -> None:
        """It has heard everything."""
        ...

    def shared(self, supervisor: "Supervisor", lane: int, token: int, running: list[int]) -> None:
        """The share that was given this token holds; these attempts of the lane run."""
        ...

    def withdrawn(self, supervisor: "Supervisor", attempts: list[AttemptKey]) -> None:
        """Of those that were to be withdrawn these have been."""
        ...

    def held_up_changed(self) -> None:
        """What keeps it from starting anything is another now, or nothing."""
        ...
