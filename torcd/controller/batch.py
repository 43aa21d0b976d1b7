"""What comes into the loop, and what it decided and has to do about it."""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, get_args

import msgspec

from torcd import errors
from torcd.executors import base
from torcd.model import Happening
from torcd.scheduler import commands as c
from torcd.scheduler import events as e
from torcd.scheduler.standstill import End

OfWorkflow = c.CreateWorkflow | c.EditWorkflow | c.SaveWorkflow | c.RemoveWorkflow

_OF_WORKFLOWS = frozenset(get_args(OfWorkflow))
_OF_PARTS = frozenset(get_args(c.Record)) - _OF_WORKFLOWS
_STARTS = frozenset(get_args(c.Start))

_UNKNOWN = e.Outputs()


class Request(msgspec.Struct, eq=False):
    """Somebody waits for the answer to an event."""

    event: e.Event | None
    """None: somebody only wants to know when all before it is on disk."""
    tell: Callable[["Request"], None]
    """Called when what was decided is on disk, or was refused. Whoever looks at memory then, before
    he waits for anything, sees what is on disk."""
    asker: Hashable | None = None
    """Who is answered by `tell`, within it. None: that only wakes a task, which looks at memory in
    the next turn of the event loop."""
    commands: list[c.Command] = []
    error: errors.UserError | None = None


class Batch:
    """What was decided and is to be done about it."""

    def __init__(self) -> None:
        self.records: list[c.Record] = []
        self.of_workflows: list[OfWorkflow] = []
        """Those of the records that are of a workflow as a whole."""
        self.happenings: list[Happening] = []
        self.starts: list[c.Start] = []
        self.actions: list[c.OtherAction] = []
        self.over: list[End] = []
        self.requests: list[Request] = []

    @property
    def is_to_be_written(self) -> bool:
        return bool(self.records or self.happenings)

    def add(self, commands: Iterable[c.Command]) -> None:
        tell, write = self.happenings.append, self.records.append
        command: Any
        for command in commands:
            # Seven for each job: by type, for isinstance goes through the union one by one.
            kind = type(command)
            if kind is Happening:
                tell(command)
            elif kind in _OF_PARTS:
                write(command)
            elif kind in _STARTS:
                self.starts.append(command)
            elif kind in _OF_WORKFLOWS:
                write(command)
                self.of_workflows.append(command)
            else:
                self.actions.append(command)


def end_of(report: base.Exited | base.NotStarted | base.Lost) -> End:
    """What the executor reports, for the scheduler; what it left behind is not known yet."""
    match report:
        case base.Exited():
            return e.AttemptExited(
                attempt_key=report.attempt_key,
                return_code=report.return_code,
                cpu_seconds=report.cpu_seconds,
                peak_memory_bytes=report.peak_memory_bytes,
                outputs=_UNKNOWN,
                at=report.at,
                ran_out_of_memory=report.oom_kills > 0,
            )
        case base.NotStarted():
            return e.AttemptNotStarted(report.attempt_key, report.problem, report.at)
        case base.Lost():
            return e.AttemptLost(report.attempt_key, report.problem, report.at)
