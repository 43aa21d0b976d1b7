"""What happened, numbered."""

import msgspec

from torcd.model import Reason
from torcd.protocol.request import Request


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, numbered without gaps. `kind` is one of `workflow_submitted`,
    `workflow_edited`, `workflow_changed`, `workflow_deleted`, `job_changed`, `job_up_to_date`,
    `value_stored`, `value_cleared`, `action_changed`."""

    number: int
    at: str
    kind: str
    workflow_key: str
    job_key: str | None = None
    job_name: str | None = None
    user_data_key: str | None = None
    user_data_name: str | None = None
    action: int | None = None
    """Which one, and which command of it, both from 1."""
    command: int | None = None
    status: str | None = None
    run_id: int | None = None
    attempt_id: int | None = None
    return_code: int | None = None
    reason: Reason | None = None
    message: str | None = None
    revision: int | None = None


class ListEvents(Request["EventsReply"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events from number `since` on, oldest first."""

    workflow_key: str | None = None
    since: int | None = None


class FollowEvents(Request["EventReply"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events from number `since` on, and then each as it happens, one a message. A reader that
    is too slow gets the error Lagged with the number to go on from. Needs `more`."""

    workflow_key: str | None = None
    since: int | None = None


class EventsReply(msgspec.Struct, frozen=True):
    items: list[Event]


class EventReply(msgspec.Struct, frozen=True):
    event: Event
