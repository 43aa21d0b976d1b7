"""What the blocking and the async client share: what an answer means, and when to try again.

A daemon that restarts is away for a moment, and its clients should not notice. A request is sent
again when nobody listened, when the connection broke before the answer came, or when the daemon
said that it is shutting down; only if it is safe to repeat, or was certainly not carried out. A
`Store` whose answer was lost is repeated too: it may make a second revision, of an equal value.
"""

from typing import Any, TypeVar, cast

import msgspec

from torcd import errors
from torcd.json_text import from_json
from torcd.locations import SYSTEM_GROUP, SYSTEM_SOCKET
from torcd.protocol import envelope, registry
from torcd.protocol import user_data as u
from torcd.protocol.request import Reply, Request

RESTART_TIMEOUT_SECONDS = 10.0

FIRST_BUFFER_BYTES = 64 * 1024

MAX_ANSWER_BYTES = 1 << 30
"""Lists can be large; a stream without end is a mistake."""

_FIRST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 0.25


SomeRequest = TypeVar("SomeRequest", bound=Request[Any])


class ConnectionBroken(errors.NoDaemon):
    """The daemon was there, and the connection ended before its answer was complete."""


class NotThere(errors.NoDaemon):
    """Nobody listened; a daemon that is starting may soon."""


class Patience:
    """How long to go on trying, and with what pauses.

    Here and only here something is tried again and again: a socket file that appears can be
    watched for only with inotify, which Python does not come with, and it would not say when
    somebody listens on it.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        self._trouble_since: float | None = None
        self._pause = _FIRST_PAUSE_SECONDS

    def after_failure(self, tried_at: float, now: float) -> float | None:
        """Seconds to wait before the next try; None: enough. An attempt that lasted longer than
        the timeout was no part of the same trouble."""
        if self._trouble_since is None or now - tried_at > self._timeout:
            self._trouble_since = now
            self._pause = _FIRST_PAUSE_SECONDS
        left = self._trouble_since + self._timeout - now
        if left <= 0:
            return None
        pause = min(self._pause, left)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
        return pause


def encode(parameters: Request[Any], *, more: bool = False) -> bytes:
    return envelope.encode_call(registry.full_name(type(parameters)), parameters, more=more)


def is_safe_to_repeat(parameters: Request[Any]) -> bool:
    return registry.method(type(parameters)).safe_to_repeat


def decode(message: envelope.Message, parameters: Request[Reply]) -> tuple[Reply, bool]:
    """The reply to `parameters`, and whether more will come.

    Raises the error that the daemon answered, or InvalidMessage.
    """
    answer = envelope.decode_answer(message)
    if answer.error is not None:
        raise _error(answer.error, answer.parameters, parameters)
    method = registry.method(type(parameters))
    try:
        reply = msgspec.json.decode(answer.parameters or b"{}", type=method.reply)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
        raise errors.InvalidMessage(
            f"the daemon's answer to {method.name} is not understood ({e}); "
            "are client and daemon of the same version?"
        ) from None
    return cast("Reply", reply), bool(answer.continues)


def _error(code: str, facts_text: msgspec.Raw | None, parameters: Request[Any]) -> errors.TorcError:
    try:
        facts = msgspec.json.decode(facts_text or b"{}", type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        facts = {}
    cls = errors.by_code(code)
    message = facts.pop("message", None)
    if not isinstance(message, str):
        message = _described(cls, code, facts, parameters)
    error = cls(message)
    if cls is errors.TorcError and code != cls.code:
        facts["error"] = code
        error = cls(f"{message} ({code}, an error that this client does not know)")
    error.facts = facts
    return error


def _described(
    cls: type[errors.TorcError], code: str, facts: dict[str, Any], parameters: Request[Any]
) -> str:
    """For errors without a message, such as those of other implementations of Varlink."""
    method = registry.full_name(type(parameters))
    if cls in (errors.MethodNotFound, errors.InterfaceNotFound):
        return f"the daemon does not know {method}; is it older than this client?"
    if cls is errors.InvalidParameter:
        return f"the daemon does not accept the parameter {facts.get('parameter')} of {method}"
    return f"{method} failed with {code}"


def with_time_left(parameters: SomeRequest, passed_seconds: float) -> SomeRequest:
    """The request as it is to be sent when a part of the time that it may take has passed."""
    if isinstance(parameters, u.Fetch) and parameters.timeout_seconds is not None:
        left = max(0.0, parameters.timeout_seconds - passed_seconds)
        return msgspec.structs.replace(parameters, timeout_seconds=left)
    return parameters


def value_of(record: u.Record) -> Any:
    """Its value as Python data."""
    if isinstance(record.data, msgspec.UnsetType):
        if record.revision:
            raise errors.LostValue(f"the value of {record.name!r} is lost; store it again")
        raise errors.NoValue(f"{record.name!r} has no value yet", name=record.name)
    return from_json(record.data, name=record.name)


# What becomes of a failure


def nobody_answers(socket: str, problem: OSError) -> errors.NoDaemon:
    said = problem.strerror or problem
    if isinstance(problem, FileNotFoundError | ConnectionError | BlockingIOError):
        return NotThere(
            f"no daemon answers at {socket} ({said}): start one with 'torcctl daemon start', or "
            "set TORC_SOCKET to where it listens",
            socket=socket,
        )
    if isinstance(problem, PermissionError) and socket == SYSTEM_SOCKET:
        return errors.NoDaemon(
            f"the system's daemon at {socket} cannot be used ({said}): only root and members of "
            f"the group {SYSTEM_GROUP} may use it; have root put this user into it (usermod -aG "
            f"{SYSTEM_GROUP} USER) and log in again, or start a daemon of your own with 'torcctl "
            "daemon start'",
            socket=socket,
        )
    return errors.NoDaemon(
        f"the daemon's socket {socket} cannot be used ({said}): look whether that is its path, "
        "and whether this user may use it",
        socket=socket,
    )


def broken(socket: str, parameters: Request[Any]) -> ConnectionBroken:
    name = registry.method(type(parameters)).name
    doubt = "" if is_safe_to_repeat(parameters) else f"; it may or may not have done {name}"
    return ConnectionBroken(
        f"the daemon at {socket} went away before it answered {name}{doubt}", socket=socket
    )


def timed_out(parameters: Request[Any], timeout_seconds: float) -> errors.TimedOut:
    name = registry.method(type(parameters)).name
    return errors.TimedOut(
        f"no answer to {name} within {timeout_seconds:g} s", timeout_seconds=timeout_seconds
    )


def too_large(parameters: Request[Any], message_bytes: int) -> errors.TooLarge | None:
    """Why a message that the daemon did not read to its end was probably refused."""
    # These bring hashlib along.
    from torcd.protocol.framing import MAX_MESSAGE_BYTES
    from torcd.value import MAX_VALUE_BYTES

    if message_bytes <= MAX_MESSAGE_BYTES:
        return None
    limit = "unless max_value_bytes is configured otherwise"
    data = getattr(parameters, "data", None)
    if not isinstance(data, msgspec.Raw):
        method = registry.method(type(parameters)).name
        return errors.TooLarge(
            f"the message {method} has {message_bytes} bytes, and the daemon did not take it (the "
            f"limit is {MAX_MESSAGE_BYTES} {limit}); in a spec, parameters take less than copies "
            "of a job, and regexes (depends_on_regexes, …) less than lists of names",
            name=method,
            size_bytes=message_bytes,
            limit_bytes=MAX_MESSAGE_BYTES,
        )
    size = memoryview(data).nbytes
    name = getattr(parameters, "name", None) or getattr(parameters, "key", None) or ""
    return errors.TooLarge(
        f"the value of {name!r} has {size} bytes, and the daemon did not take it (the limit is "
        f"{MAX_VALUE_BYTES} {limit}); store large data in a file and pass the file",
        name=name,
        size_bytes=size,
        limit_bytes=MAX_VALUE_BYTES,
    )
