"""From a call to its handler and back."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec

from torcd import errors
from torcd.accounts import Peer
from torcd.protocol import envelope
from torcd.protocol.registry import INTERFACES, Method, full_name
from torcd.protocol.user_data import Fetch, Store

_FETCH = full_name(Fetch)
_STORE = full_name(Store)

_HEAD_BYTES = 1_000
"""Where in a message its method is looked for when the message cannot be decoded."""

Later = Literal["later"]
"""A call has been taken, and its answer comes, or has come already."""

AtOnce = Callable[[envelope.Message, Peer, Callable[[bytes], None]], bytes | Later | None]
"""Given a message of a peer: the answer; or that it comes later, by the function; None: ask a
handler."""

Send = Callable[[msgspec.Struct], Awaitable[None]]


async def _there_is_room(size_bytes: int) -> None: ...


class Call(msgspec.Struct, frozen=True):
    """A call as it came, and who made it."""

    method: str
    parameters: msgspec.Raw | Store | None
    more: bool
    peer: Peer
    send: Send
    """Sends one part of an answer that has several; for methods that stream."""
    take_room: Callable[[int], Awaitable[None]] = _there_is_room
    """Waits for room for a next part of about so many bytes; best before the part is made, for
    others may wait too."""


class StoreCall(msgspec.Struct, frozen=True, tag_field="method", tag=_STORE):
    """An `envelope.Call` of Store, which one look at the text makes of it."""

    parameters: Store
    oneway: bool | None = False
    more: bool | None = False
    upgrade: bool | None = False


class Handler(msgspec.Struct, frozen=True):
    """What answers a method. `function(context, parameters, call)` returns the reply, the last
    one where it streams."""

    method: Method
    function: Callable[..., Awaitable[msgspec.Struct]]
    decoder: Any


class Dispatcher:
    """Finds the handler of a call, checks its parameters and runs it."""

    def __init__(
        self,
        handlers: dict[type[msgspec.Struct], Callable[..., Awaitable[msgspec.Struct]]],
        context: Any,
        at_once: AtOnce = lambda message, peer, answered: None,
    ) -> None:
        self._context = context
        self.at_once = at_once
        """See `torcd.server.quick`."""
        self._handlers: dict[str, Handler] = {
            f"{interface.name}.{method.name}": Handler(
                method,
                handlers[method.parameters],
                msgspec.json.Decoder(method.parameters),
            )
            for interface in INTERFACES
            for method in interface.methods
        }

    def may_wait(self, call: Call) -> bool:
        """Whether it may take as long as it likes: for something to happen."""
        return call.more or call.method == _FETCH

    def is_safe_to_repeat(self, method: str) -> bool:
        """Whether an answer may be let go and made again: it only told something."""
        handler = self._handlers.get(method)
        return handler is not None and handler.method.safe_to_repeat and method != _STORE

    async def answer(self, call: Call) -> msgspec.Struct:
        """The reply. Raises the TorcError that is the answer instead."""
        handler = self._handlers.get(call.method)
        if handler is None:
            raise _unknown(call.method)
        if handler.method.streams and not call.more:
            raise errors.ExpectedMore(f"{call.method} answers more than once: call it with more")
        raw = call.parameters
        if isinstance(raw, Store):
            return await handler.function(self._context, raw, call)
        is_absent = raw is None or envelope.is_null(raw)
        try:
            parameters = handler.decoder.decode(b"{}" if is_absent else raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _invalid(str(error)) from None
        return await handler.function(self._context, parameters, call)


LARGE_BYTES = 256 << 10
"""A message that it pays to look at but once."""

_decode_store = msgspec.json.Decoder(StoreCall).decode


def decode(message: envelope.Message) -> tuple[str, envelope.Call | StoreCall]:
    """The method, and the call; of a large Store with its parameters. Raises InvalidMessage."""
    if len(message) > LARGE_BYTES and _STORE.encode() in bytes(message[:_HEAD_BYTES]):
        try:
            return _STORE, _decode_store(message)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass  # what is wrong is said as ever
    call = envelope.decode_call(message)
    return call.method, call


def not_understood(message: envelope.Message, error: errors.InvalidMessage) -> errors.TorcError:
    """What to answer to a message that is no call: most often one with a value that is no JSON."""
    problem = f"{error}; messages are strict JSON in UTF-8 (no NaN, no half of a surrogate pair)"
    if _STORE.encode() in bytes(message[:_HEAD_BYTES]):
        return errors.InvalidValue(problem, name="", problem=str(error))
    return errors.InvalidParameter(problem, parameter="")


def _unknown(method: str) -> errors.ProtocolError:
    interface, _, name = method.rpartition(".")
    if interface not in {known.name for known in INTERFACES}:
        return errors.InterfaceNotFound(
            f"there is no interface {interface[:200]}", interface=interface
        )
    return errors.MethodNotFound(f"{interface} has no method {name[:200]}", method=method)


_PATH = re.compile(r"at `\$\.([^`.\[]*)")
_FIELD = re.compile(r"field `([^`]*)`")


def _invalid(problem: str) -> errors.InvalidParameter:
    """Name the parameter that msgspec complains about."""
    found = _PATH.search(problem) or _FIELD.search(problem)
    parameter = found.group(1) if found else ""
    return errors.InvalidParameter(f"wrong parameters: {problem}", parameter=parameter)
