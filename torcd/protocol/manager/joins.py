"""Joins: what is paired with what."""

import msgspec

from torcd.model import JobStatus
from torcd.protocol.request import Request


class JoinInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A join: its name for `Join`, and what it pairs with what."""

    name: str
    description: str


class ListJoins(Request["JoinsReply"], frozen=True, forbid_unknown_fields=True):
    """The joins there are."""


class JoinsReply(msgspec.Struct, frozen=True):
    items: list[JoinInfo]


class JoinNode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Either end of a joined pair; which fields it has depends on what it is (a job, a file, a
    user_data, a result). `key` is `_key` on the wire, as torc's documents have it."""

    key: str = msgspec.field(name="_key")
    name: str
    status: JobStatus | None = None
    command: str | list[str] | None = None
    path: str | None = None
    is_ephemeral: bool | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    run_id: int | None = None
    attempt_id: int | None = None
    return_code: int | None = None


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """One pair. `from` is the job."""

    source: JoinNode = msgspec.field(name="from")
    target: JoinNode = msgspec.field(name="to")


class Join(Request["JoinReply"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All pairs of a join, or those whose `from` has the key `key`."""

    name: str
    workflow_key: str | None = None
    key: str | None = None


class JoinReply(msgspec.Struct, frozen=True):
    items: list[Joined]
