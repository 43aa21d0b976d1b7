"""The interface io.torcd.UserData: how jobs and people store and fetch named JSON values.

Every method takes a `token` (a job, which may touch only what it declared) or a `workflow_key` (a
person; absent, the newest workflow), and, where one value is meant, its `name` or its `key`.
"""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from torcd.protocol.request import Request

NAME = "io.torcd.UserData"


class StoredBy(msgspec.Struct, frozen=True, kw_only=True):
    """The attempt that stored a value."""

    job_key: str
    job_name: str
    run_id: int
    attempt_id: int


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A user_data and its value at one revision. `data` is absent, not null, when there is no
    value; the revision is 0 then. `stored_by` is null for an initial value or a person's."""

    key: str
    name: str
    workflow_key: str
    is_ephemeral: bool
    data: msgspec.Raw | UnsetType = UNSET
    revision: int = 0
    sha256: str | None = None
    stored_at: str | None = None
    stored_by: StoredBy | None = None


class RecordReply(msgspec.Struct, frozen=True):
    record: Record


class RecordsReply(msgspec.Struct, frozen=True):
    items: list[Record]


class Store(Request[RecordReply], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Make a new revision of a value. Answers when it is on disk for good."""

    data: msgspec.Raw
    name: str | None = None
    key: str | None = None
    token: str | None = None
    workflow_key: str | None = None


class Fetch(Request[RecordReply], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The newest value, or that of a revision. Without a value: the error NoValue, or, with
    `wait`, an answer as soon as there is one (TimedOut after `timeout_seconds`)."""

    name: str | None = None
    key: str | None = None
    token: str | None = None
    workflow_key: str | None = None
    wait: bool | None = None
    timeout_seconds: float | None = None
    revision: int | None = None


class List(Request[RecordsReply], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All records of the workflow, or those that a job stores or consumes. `relation` is about
    the job of the token, or of `job_key`."""

    relation: Literal["stores", "consumes"] | None = None
    job_key: str | None = None
    token: str | None = None
    workflow_key: str | None = None


class History(Request[RecordsReply], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All revisions of a value, oldest first."""

    name: str | None = None
    key: str | None = None
    token: str | None = None
    workflow_key: str | None = None


class Watch(Request[RecordReply], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """First the present record of each value (or of the one named), then one for each store, for
    as long as the connection lasts. Needs `more`."""

    name: str | None = None
    key: str | None = None
    token: str | None = None
    workflow_key: str | None = None
