"""What every message looks like: a call, a reply, or an error."""

import msgspec

from torcd.errors import Fact, InvalidMessage, TorcError

Message = bytes | bytearray | memoryview
"""Without its NUL. A large one is what it was gathered in, and no copy of that."""

_EMPTY = msgspec.Raw(b"{}")


class Call(msgspec.Struct, frozen=True):
    """`oneway`: no reply is wanted. `more`: several replies may come."""

    method: str
    parameters: msgspec.Raw = _EMPTY
    oneway: bool | None = False
    more: bool | None = False
    upgrade: bool | None = False


class Answer(msgspec.Struct, frozen=True):
    """A reply as it arrives: good (`error` is None) or not."""

    parameters: msgspec.Raw = _EMPTY
    continues: bool | None = False
    error: str | None = None


class _Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    parameters: msgspec.Struct
    continues: bool = False


class _ErrorReply(msgspec.Struct, frozen=True):
    error: str
    parameters: dict[str, Fact]


class _OutgoingCall(msgspec.Struct, frozen=True, omit_defaults=True):
    method: str
    parameters: msgspec.Struct
    oneway: bool = False
    more: bool = False


_encoder = msgspec.json.Encoder()
_call_decoder = msgspec.json.Decoder(Call)
_answer_decoder = msgspec.json.Decoder(Answer)


def encode_call(
    method: str, parameters: msgspec.Struct, *, more: bool = False, oneway: bool = False
) -> bytes:
    """A whole message, its NUL included."""
    return _encoder.encode(_OutgoingCall(method, parameters, oneway, more)) + b"\0"


def encode_reply(parameters: msgspec.Struct, *, continues: bool = False) -> bytes:
    return _encoder.encode(_Reply(parameters, continues)) + b"\0"


def encode_error(error: TorcError) -> bytes:
    return (
        _encoder.encode(_ErrorReply(error.code, {"message": error.message, **error.facts})) + b"\0"
    )


def decode_call(message: Message) -> Call:
    """Raises InvalidMessage."""
    try:
        call = _call_decoder.decode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
        raise InvalidMessage(f"not a Varlink call: {e}") from None
    return msgspec.structs.replace(call, parameters=_EMPTY) if is_null(call.parameters) else call


def decode_answer(message: Message) -> Answer:
    """Raises InvalidMessage."""
    try:
        answer = _answer_decoder.decode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
        raise InvalidMessage(f"not a Varlink reply: {e}") from None
    if is_null(answer.parameters):
        return msgspec.structs.replace(answer, parameters=_EMPTY)
    return answer


def is_null(raw: msgspec.Raw) -> bool:
    """Whether parameters are as good as absent."""
    # `Raw | None` would not do: msgspec then takes nothing but null.
    return memoryview(raw).nbytes == 4 and bytes(raw) == b"null"
