"""Answers to stores, most of which is the same each time that a job stores a value: that is made
into text once, and the rest is filled in."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from torcd.model import AttemptKey, Job, Owner, UserData, WorkflowKey
from torcd.protocol import envelope
from torcd.protocol import user_data as u
from torcd.protocol.times import rfc3339
from torcd.scheduler.commands import SaveValue
from torcd.scheduler.nodes import JobNode
from torcd.scheduler.state import WorkflowNode
from torcd.server.handlers import records

MAX_FORMS = 4_096
"""Of some hundred bytes each. All are made anew when there are more."""

_PLACE = b"\x01"
"""To be filled in: no JSON text has this byte."""


class Form(NamedTuple):
    """Of the answers to an attempt that stores in one place, as long as these are what they were.
    No nodes, which would keep a workflow in memory."""

    attempt_key: AttemptKey
    job: Job
    declared: UserData
    workflow_key: WorkflowKey
    owner: Owner | None
    run_id: int
    template: bytes
    """To be filled with the data, the revision, the hash and the time."""

    def filled(self, data: msgspec.Raw, saved: SaveValue) -> bytes:
        """What `records.stored` comes to as a message."""
        sha256, at = saved.value.sha256.encode(), rfc3339(saved.at).encode()
        return self.template % (data, saved.revision, sha256, at)


Words = tuple[str | None, str | None, str | None, str | None]
"""Token, name, key and workflow_key, as they are given in a call."""


class Forms:
    """By the words of a call: of who stores there again it is only asked whether all is as it
    was."""

    def __init__(self) -> None:
        self._forms: dict[Words, Form] = {}
        self.get: Callable[[Words], Form | None] = self._forms.get

    def keep(self, words: Words, form: Form) -> None:
        if len(self._forms) >= MAX_FORMS:
            self._forms.clear()
        self._forms[words] = form


def form_of(node: WorkflowNode, job: JobNode, attempt_key: AttemptKey, declared: UserData) -> Form:
    place = msgspec.Raw(_PLACE)
    record = records.record(node, node.data[declared.key], None)
    record = msgspec.structs.replace(
        record,
        data=place,
        revision=place,
        sha256=place,
        stored_at=place,
        stored_by=records.stored_by(node, job),
    )
    pieces = envelope.encode_reply(u.RecordReply(record)).replace(b"%", b"%%").split(_PLACE)
    return Form(
        attempt_key,
        job.job,
        declared,
        node.key,
        node.workflow.owner,
        node.run_id,
        b'%b%%b%b%%d%b"%%b"%b"%%b"%b' % tuple(pieces),
    )
