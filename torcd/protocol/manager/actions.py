"""Actions and what became of their commands."""

import msgspec

from torcd.model import JobStatus, Reason
from torcd.protocol.request import Request


class ActionCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command of an action. `number` counts from 1. One that has not begun has no log."""

    number: int
    command: str
    status: JobStatus
    return_code: int | None
    reason: Reason | None
    message: str | None
    started_at: str | None
    ended_at: str | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    stdout: str | None
    stderr: str | None


class ActionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An action as it stands in the newest run. `number` counts those of the spec from 1;
    `jobs` names its set. It is `blocked` until its trigger comes about, `ready` until it begins,
    and then what its newest command is; `canceled` too when it can no longer begin."""

    number: int
    trigger: str
    jobs: list[str]
    status: JobStatus
    stopping: bool
    run_id: int
    commands: list[ActionCommand]


class ListActions(Request["ActionsReply"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The actions of a workflow, in the order of the spec, and what became of their commands."""

    workflow_key: str | None = None


class ActionsReply(msgspec.Struct, frozen=True):
    """The answer to ListActions."""

    items: list[ActionInfo]
