"""Store and Fetch of small values by jobs, most calls by far: answered where they come in.

A call that need not wait for anything is answered within the turn of the loop that has read it, and
a store when its commit is done, without a task being woken twice. What is not as usual (a person's
call, a large value or one with a schema, a workflow that is not in memory, waiting, oneway, a full
disk) is left to the handlers, which can do everything; so nothing is decided here that is not
decided there, and an answer is the same from both.

Values that were fetched lately are kept as the answers they were, as long as nothing is under way:
then what is in memory is on disk. Who asks again in the same words is known by them: what they
mean has been found out, and need only be still so.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from torcd import errors, value
from torcd.accounts import Peer
from torcd.controller import Controller
from torcd.controller.batch import Request
from torcd.model import AttemptKey, DataKey, UserData
from torcd.protocol import envelope
from torcd.protocol import user_data as u
from torcd.protocol.registry import full_name
from torcd.scheduler.events import StoreRequested
from torcd.scheduler.state import DataNode, WorkflowNode
from torcd.server.calls import Later, StoreCall
from torcd.server.context import find_data
from torcd.server.forms import Form, Forms, Words, form_of
from torcd.server.handlers import records

MAX_CALL_BYTES = 8 << 10
"""A call of this size takes no room that others want."""

MAX_KEPT_BYTES = 4 << 20
"""Of answers that are kept; the oldest goes first."""

MAX_ASKED = 4096
"""Calls whose meaning is kept: as many as all clients make at a time, and more."""

MAX_ASKED_BYTES = 512
"""Of one; with names of usual lengths they have a quarter of it."""

MAX_DECLARED = 256
"""Values that a job declares, if its calls are kept: with each its tuple of them is kept, too."""


class _FetchCall(msgspec.Struct, frozen=True, tag_field="method", tag=full_name(u.Fetch)):
    parameters: u.Fetch
    oneway: bool | None = False
    more: bool | None = False
    upgrade: bool | None = False


_decode = msgspec.json.Decoder(StoreCall | _FetchCall).decode


class _Kept(NamedTuple):
    """An answer to Fetch, and what it is of: when that has changed, it is void."""

    data: UserData
    revision: int
    run_id: int
    reply: bytes


class _Asked(msgspec.Struct, frozen=True):
    """A Fetch that a job may make: what its text says as long as the same tuple of the job declares
    the value. Not the job itself, which would be kept in memory when it is long over."""

    attempt_key: AttemptKey
    declaring: tuple[DataKey, ...]
    data_key: DataKey


class Quick:
    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._active_attempt = controller.scheduler.active_attempt
        self._forms = Forms()
        self._kept: dict[DataKey, _Kept] = {}
        self._kept_bytes = 0
        self._asked: dict[bytes, _Asked] = {}

    def answer(
        self, message: envelope.Message, peer: Peer, answered: Callable[[bytes], None]
    ) -> bytes | Later | None:
        """The answer to a call, at once or, by `answered`, later; None: it is for the handlers."""
        if len(message) > MAX_CALL_BYTES:
            return None
        text = bytes(message)  # a copy only of what came in pieces
        asked = self._asked.get(text)
        if asked is not None:
            return self._again(asked, peer)
        try:
            call = _decode(text)
            if call.oneway or call.more:
                return None
            if type(call) is _FetchCall:
                return self._fetch(call.parameters, peer, text)
            return self._store(call.parameters, peer, answered)
        except (errors.TorcError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass  # the handler says what is wrong
        return None

    def _fetch(self, parameters: u.Fetch, peer: Peer, text: bytes) -> bytes | None:
        if parameters.token is None or parameters.revision is not None:
            return None
        node, job, attempt_key = self._controller.attempt(parameters.token)
        if not self._controller.accounts.is_own(peer, node.workflow.owner):
            return None
        data = _named(node, parameters)
        key, declaring = data.data.key, job.job.output_user_data
        if key not in declaring:
            declaring = job.job.input_user_data
            if key not in declaring and key not in node.workflow.input_user_data(job.job):
                return None
        # Only what no edit can give another meaning.
        is_named = parameters.key is not None or parameters.name == data.data.name
        if is_named and key in declaring:
            if len(self._asked) == MAX_ASKED:
                self._asked.clear()
            if len(text) <= MAX_ASKED_BYTES and len(declaring) <= MAX_DECLARED:
                self._asked[text] = _Asked(attempt_key, declaring, key)
        return self._kept_reply(node, data)

    def _again(self, asked: _Asked, peer: Peer) -> bytes | None:
        """As `_fetch`, of a call that came before."""
        found = self._active_attempt(asked.attempt_key)
        if found is None:
            return None
        node, job = found[0], found[1].job
        declaring = asked.declaring
        if declaring is not job.input_user_data and declaring is not job.output_user_data:
            return None
        if not self._controller.accounts.is_own(peer, node.workflow.owner):
            return None
        return self._kept_reply(node, node.data[asked.data_key])  # there, since it is declared

    def _kept_reply(self, node: WorkflowNode, data: DataNode) -> bytes | None:
        kept = self._kept.get(data.data.key)
        if (
            kept is None
            or self._controller.is_ahead_of_disk
            or kept.revision != data.revision
            or kept.data is not data.data
            or kept.run_id != node.run_id
        ):
            return None
        return kept.reply

    def keep(self, node: WorkflowNode, data: DataNode, reply: u.RecordReply) -> None:
        """What was answered to a Fetch of the newest revision, for the next who asks."""
        if reply.record.revision == data.revision:
            self._keep(data.data, data.revision, node.run_id, envelope.encode_reply(reply))

    def _keep(self, declared: UserData, revision: int, run_id: int, text: bytes) -> None:
        if len(text) > MAX_CALL_BYTES:
            return
        self._forget(declared.key)
        self._kept[declared.key] = _Kept(declared, revision, run_id, text)
        self._kept_bytes += len(text)
        while self._kept_bytes > MAX_KEPT_BYTES:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: DataKey) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._kept_bytes -= len(kept.reply)

    def _store(
        self, parameters: u.Store, peer: Peer, answered: Callable[[bytes], None]
    ) -> Later | None:
        controller = self._controller
        if not controller.is_open:
            return None
        words = parameters.token, parameters.name, parameters.key, parameters.workflow_key
        form = self._forms.get(words)
        if form is None or not self._holds(form):
            form = self._new_form(parameters, words)
            if form is None:
                return None
        if not controller.accounts.is_own(peer, form.owner):
            return None
        declared = form.declared
        limit = controller.settings.max_value_bytes
        event = StoreRequested(
            workflow_key=form.workflow_key,
            data_key=declared.key,
            value=value.parse(bytes(parameters.data), name=declared.name, max_bytes=limit),
            attempt_key=form.attempt_key,
            at=controller.now(),
        )

        def tell(request: Request) -> None:
            if request.error is not None:
                answered(envelope.encode_error(request.error))
                return
            saved = records.saved_in(request.commands)
            text = form.filled(parameters.data, saved)
            if declared.key in self._kept:
                self._keep(declared, saved.revision, form.run_id, text)
            answered(text)

        controller.put(Request(event, tell, answered))
        return "later"

    def _holds(self, form: Form) -> bool:
        """Whether what it was made of is as it was."""
        found = self._active_attempt(form.attempt_key)
        if found is None:
            return False
        node, job = found
        # It is there, since it is declared.
        return job.job is form.job and node.data[form.declared.key].data is form.declared

    def _new_form(self, parameters: u.Store, words: Words) -> Form | None:
        """What the answers are like; None: this is for the handlers. Raises Denied and NotFound."""
        if parameters.token is None:
            return None
        node, job, attempt_key = self._controller.attempt(parameters.token)
        declared = _named(node, parameters).data
        if declared.key not in job.job.output_user_data or declared.schema is not None:
            return None
        form = form_of(node, job, attempt_key, declared)
        if words == (parameters.token, declared.name, None, None):  # as nearly all do it
            self._forms.keep(words, form)
        return form


def _named(node: WorkflowNode, parameters: u.Store | u.Fetch) -> DataNode:
    """Raises NotFound, and Denied if it is of another workflow than the token is."""
    if parameters.workflow_key is not None and parameters.workflow_key != str(node.key):
        raise errors.Denied("the token is that of a job of another workflow")
    return node.data[find_data(node, parameters.name, parameters.key)]
