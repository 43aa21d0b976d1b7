"""Answers to stores, most of which is the same each time that a job stores a value: that is made
into text once, and the rest is filled in."""

from typing import NamedTuple

import msgspec

from torcd.model import AttemptKey, DataKey, Job, UserData
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
    """Of the answers to one attempt, as long as these are what they were."""

    declared: UserData
    job: Job
    pieces: list[bytes]
    """What is around the data, the revision, the hash and the time."""

    def filled(self, data: msgspec.Raw, saved: SaveValue) -> bytes:
        """What `records.stored` comes to as a message."""
        before, after_data, after_revision, after_hash, end = self.pieces
        known = b'%b%d%b"%b"%b"%b"%b' % (
            after_data,
            saved.revision,
            after_revision,
            saved.value.sha256.encode(),
            after_hash,
            rfc3339(saved.at).encode(),
            end,
        )
        return b"".join((before, data, known))


class Forms:
    def __init__(self) -> None:
        self._forms: dict[tuple[AttemptKey, DataKey], Form] = {}

    def form(
        self, node: WorkflowNode, job: JobNode, attempt_key: AttemptKey, declared: UserData
    ) -> Form:
        """For what an attempt stores there."""
        form = self._forms.get((attempt_key, declared.key))
        if form is None or form.declared is not declared or form.job is not job.job:
            if len(self._forms) >= MAX_FORMS:
                self._forms.clear()
            form = self._forms[attempt_key, declared.key] = _form(node, job, declared)
        return form


def _form(node: WorkflowNode, job: JobNode, declared: UserData) -> Form:
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
    text = envelope.encode_reply(u.RecordReply(record))
    return Form(declared, job.job, text.split(_PLACE))
