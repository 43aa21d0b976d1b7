"""`data get` and `data put`: what job scripts run, often thousands of times.

Values are printed as the text in which they came. The full command line comes back here with a
`DataCall` of its own: there is one implementation of what the two do.

Where nobody answers, or the daemon goes away, `perform` says so by returning None, and the full
command line takes over: its client knows how to wait for a daemon that restarts. Both requests may
be repeated.
"""

from __future__ import annotations

import sys
import time

from torcctl import exits, rawjson
from torcctl.fast import exchange as wire
from torcctl.fast import words as w
from torcctl.render.text import clean
from torcd import locations

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing and collections cost time, too
    from collections.abc import Mapping, Sequence

_INVALID_VALUE = "io.torcd.UserData.InvalidValue"


class DataCall:
    """A `data get` (`value` is None) or `data put`, whoever has parsed it."""

    def __init__(self, verb: str, name: str, value: str | None = None) -> None:
        self.verb = verb
        self.name = name
        """A name or a key: the daemon tries it in this order."""
        self.value = value
        """JSON, or `-` for standard input, or `@FILE`."""
        self.workflow_key: str | None = None
        self.socket: str | None = None
        self.as_json = False
        self.quiet = False
        self.record = False
        self.raw = False
        self.wait = False
        self.timeout_seconds: float | None = None
        self.revision: int | None = None


class Failed(Exception):
    """An error with what `exits.report` wants to know."""

    def __init__(self, code: str, message: str, **facts: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.facts = facts


def identity(workflow_key: str | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Who asks: the job whose token is in the environment, unless `-k` names another workflow
    than the job's, or else a person, about the workflow of `-k` or of the environment."""
    own = environ.get("TORC_WORKFLOW_KEY") or None
    token = environ.get("TORC_TOKEN")
    if token and workflow_key in (None, own):
        return {"token": token}
    key = workflow_key or own
    return {"workflow_key": key} if key else {}


# What was asked


def parse(words: Sequence[str]) -> DataCall | None:
    """The call that the words of a command line mean; None where that takes more than this."""
    found = w.parse(words, _GET_NAMES, _GET) or w.parse(words, _PUT_NAMES, w.GLOBAL)
    if found is None:
        return None
    (_, verb), arguments, options = found
    if len(arguments) != (1 if verb == "get" else 2) or arguments[0].startswith("-"):
        return None
    return _call(verb, arguments, options)


_GET_NAMES = (("data", "get"), ("user-data", "get"))
_PUT_NAMES = (("data", "put"), ("user-data", "put"))

_GET = w.GLOBAL | {
    "--record": "",
    "-r": "",
    "--raw": "",
    "--wait": "",
    "--timeout": "timeout",
    "--revision": "revision",
}


def _call(verb: str, arguments: list[str], options: w.Options) -> DataCall | None:
    call = DataCall(verb, *arguments)
    try:
        timeout = options.text("timeout")
        call.timeout_seconds = None if timeout is None else float(timeout)
        revision = options.text("revision")
        call.revision = None if revision is None else int(revision)
    except ValueError:
        return None
    seconds = call.timeout_seconds
    if not (seconds is None or 0 <= seconds < float("inf")) or (
        call.revision is not None and call.revision < 1
    ):
        return None
    call.workflow_key = options.key
    call.socket = options.socket
    call.as_json = options.as_json
    call.quiet = options.is_quiet
    call.record = options.has("--record")
    call.raw = options.has("-r", "--raw")
    call.wait = options.has("--wait") or call.timeout_seconds is not None
    return call


# Doing it


def perform(call: DataCall, environ: Mapping[str, str]) -> int | None:
    """Do it, print what there is to print, and return the exit code; None: nobody answered."""
    if not _began:
        _began.append(time.monotonic())
    try:
        message = encode(call, environ)
        reply = wire.exchange(call.socket or locations.client_socket(), message)
        if reply is None:
            return None
        record = record_text(call, reply.decode())
    except rawjson.MALFORMED as e:
        text = f"the daemon's answer is not understood: {e!r}"
        return exits.report("InvalidMessage", text, {}, as_json=call.as_json)
    except wire.HungUp:
        hung_up.append(call.socket or locations.client_socket())
        return None
    except Failed as e:
        return exits.report(e.code, e.message, e.facts, as_json=call.as_json)
    return finish(call, record)


def finish(call: DataCall, record: str) -> int:
    """Print what the call asked for, given the text of the record, and return the exit code."""
    try:
        show(call, record)
    except Failed as e:
        return exits.report(e.code, e.message, e.facts, as_json=call.as_json)
    except BrokenPipeError:
        raise
    except OSError as e:
        return exits.cannot_go_on(e, as_json=call.as_json)
    return exits.DONE


def encode(call: DataCall, environ: Mapping[str, str]) -> bytes:
    """The message for the daemon, its NUL included."""
    who = identity(call.workflow_key, environ)
    parameters: dict[str, str | bool | float] = {"name": call.name, **who}
    if call.value is not None:
        data = read_value(call.name, call.value)
        rest = rawjson.document(parameters)[1:]
        return wire.message("UserData.Store", f'{{"data":{data},{rest}')
    if call.wait:
        parameters["wait"] = True
    seconds = time_left(call)
    if seconds is not None:
        parameters["timeout_seconds"] = seconds
    if call.revision is not None:
        parameters["revision"] = call.revision
    return wire.message("UserData.Fetch", rawjson.document(parameters))


def time_left(call: DataCall) -> float | None:
    """Of its timeout, counted from the first time that it was tried. None: there is none."""
    if call.timeout_seconds is None or not hung_up:
        return call.timeout_seconds
    return max(0.0, call.timeout_seconds - (time.monotonic() - _began[0]))


def read_value(name: str, value: str) -> str:
    """The JSON text that `value` stands for, known to be JSON: it goes into the message as it is,
    so that nothing of it changes on the way."""
    where = ""
    try:
        if value == "-":
            where = " on standard input"
            if not _standard_input:
                _standard_input.append(sys.stdin.buffer.read())
            data = _standard_input[0]
        elif value.startswith("@"):
            where = f" in {value[1:]}"
            with open(value[1:], "rb") as file:
                data = file.read()
        else:
            data = value.encode()
    except OSError as e:
        raise Failed("CannotRead", f"cannot read {value[1:]}: {e.strerror}") from None
    try:
        text = data.decode().strip(" \t\r\n")
        problem = rawjson.problem(text)
    except UnicodeDecodeError as e:
        problem = f"not UTF-8, at byte {e.start + 1}"
    if problem is None:
        return text
    hint = "" if where else """; a text needs its quotes within the shell's: '"text"'"""
    raise Failed(
        _INVALID_VALUE,
        f"the value for '{name}'{where} is not JSON: {problem}{hint}",
        name=name,
        problem=problem,
    )


_standard_input: list[bytes] = []
"""What was read from it, once: the full command line may ask for it again."""

_began: list[float] = []
"""When this process has first asked, for the same reason."""

hung_up: list[str] = []
"""Where a daemon was, and went away before it answered."""


def record_text(call: DataCall, reply: str) -> str:
    """The text of the record in a reply. Raises Failed for an error, with what it says."""
    if '"error"' in reply and rawjson.member(reply, ("error",)):
        import json

        answer = json.loads(reply)
        facts = answer.get("parameters") or {}
        message = facts.pop("message", None) or answer["error"]
        raise Failed(answer["error"], message, **facts)
    record = rawjson.member(reply, ("parameters", "record"))
    if record is None:
        raise Failed("InvalidMessage", f"the daemon's answer has no record of '{call.name}'")
    return record


def show(call: DataCall, record: str) -> None:
    """Print what the call asked for, given the text of the record."""
    if call.value is not None:
        if call.as_json:
            _print(record)
        elif not call.quiet:
            revision = rawjson.member(record, ("revision",))
            sys.stderr.write(f"stored {clean(call.name)}, revision {revision}\n")
    elif call.record:
        _print(record)
    else:
        data = rawjson.member(record, ("data",))
        if data is None:
            raise Failed(
                "io.torcd.UserData.NoValue", f"'{call.name}' has no value yet", name=call.name
            )
        _print(rawjson.string(data) if call.raw and data[0] == '"' else data)


def _print(text: str) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode() + b"\n")
    sys.stdout.buffer.flush()
