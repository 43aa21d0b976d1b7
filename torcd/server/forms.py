"""Answers to stores, most of which is the same each time that a job stores a value: that is made
into text once, and the rest is filled in."""

from typing import NamedTuple

import msgspec

from torcd.model import AttemptKey, Job, UserData
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
    """By token and name, as they are given: of who stores there again it is only asked whether all
    is as it was."""

    def __init__(self) -> None:
        self._forms: dict[tuple[str, str], Form] = {}

    def get(self, token: str, name: str) -> Form | None:
        return self._forms.get((token, name))

    def keep(self, token: str, form: Form) -> None:
        if len(self._forms) >= MAX_FORMS:
            self._forms.clear()
        self._forms[token, form.declared.name] = form


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
    text = envelope.encode_reply(u.RecordReply(record))
    return Form(attempt_key, job.job, declared, text.split(_PLACE))
