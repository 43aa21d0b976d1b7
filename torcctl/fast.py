"""`data get` and `data put`: the two commands that job scripts run, often thousands of times.

Starting Python is most of what they cost, so this module imports next to nothing (of socket only
its C core), speaks the wire by itself, and prints values as the text in which they came. `parse`
understands the usual ways to write these commands and leaves everything else (help, mistakes, a
file of settings) to the full command line, which comes back here with a `DataCall` of its own:
there is one implementation of what the commands do.

Where nobody answers, or the daemon goes away, `perform` says so by returning None, and the full
command line takes over: its client knows how to wait for a daemon that restarts. Both requests may
be repeated.
"""

from __future__ import annotations

import os
import sys
import time
from _socket import AF_UNIX, SOCK_STREAM, socket

from torcctl import exits, rawjson
from torcctl.render.text import clean
from torcd import locations

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing and collections cost time, too
    from collections.abc import Mapping, Sequence

_RECEIVE_BYTES = 256 * 1024

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


def parse(words: Sequence[str], environ: Mapping[str, str]) -> DataCall | None:
    """The call that the words of a command line mean; None where that takes more than this."""
    if "_TORCCTL_COMPLETE" in environ or os.access(locations.client_config(), os.F_OK):
        return None
    options: dict[str, str | bool] = {}
    rest = _options(words, _GLOBAL, options)
    if rest is None or len(rest) < 3 or rest[0] not in ("data", "user-data"):
        return None
    verb, known = rest[1], {"get": _GET, "put": _GLOBAL}.get(rest[1])
    if known is None:
        return None
    arguments: list[str] = []
    rest = rest[2:]
    while rest:
        if rest[0] == "-" or not rest[0].startswith("-") or is_negative_number(rest[0]):
            arguments.append(rest[0])
            rest = rest[1:]
            continue
        after = _options(rest, known, options)
        if after is None or len(after) == len(rest):
            return None
        rest = after
    if len(arguments) != (1 if verb == "get" else 2) or arguments[0].startswith("-"):
        return None
    return _call(verb, arguments, options)


def is_negative_number(word: str) -> bool:
    return len(word) > 1 and word[0] == "-" and word[1] in "0123456789"


_GLOBAL = {
    "-k": "key",
    "--key": "key",
    "--socket": "socket",
    "-F": "format",
    "--format": "format",
    "--json": "",
    "-q": "",
    "--quiet": "",
}
"""Options and what their argument is kept as; "" for flags."""

_GET = _GLOBAL | {
    "--record": "",
    "-r": "",
    "--raw": "",
    "--wait": "",
    "--timeout": "timeout",
    "--revision": "revision",
}


def _options(
    words: Sequence[str], known: Mapping[str, str], found: dict[str, str | bool]
) -> Sequence[str] | None:
    """Takes options off the front into `found` and returns the rest; None at an unknown one."""
    while words and words[0].startswith("-") and words[0] != "-":
        option, equals, attached = words[0].partition("=")
        kept_as = known.get(option)
        if kept_as is None or (equals and (not kept_as or not option.startswith("--"))):
            return None
        if not kept_as:
            # As on the full command line, --json and -F are one option: the last one counts.
            if option == "--json":
                found["format"] = "json"
            found[option] = True
            words = words[1:]
        elif equals:
            found[kept_as] = attached
            words = words[1:]
        elif len(words) > 1:
            found[kept_as] = words[1]
            words = words[2:]
        else:
            return None
    return words


def _call(verb: str, arguments: list[str], options: Mapping[str, str | bool]) -> DataCall | None:
    call = DataCall(verb, *arguments)
    if options.get("format", "table") not in ("table", "json"):
        return None
    try:
        timeout = options.get("timeout")
        call.timeout_seconds = None if timeout is None else float(timeout)
        revision = options.get("revision")
        call.revision = None if revision is None else int(revision)
    except ValueError:
        return None
    seconds = call.timeout_seconds
    if not (seconds is None or 0 <= seconds < float("inf")) or (
        call.revision is not None and call.revision < 1
    ):
        return None
    if not options.get("key", "k") or not options.get("socket", "s"):
        return None
    call.workflow_key = _text(options.get("key"))
    call.socket = _text(options.get("socket"))
    call.as_json = options.get("format") == "json"
    call.quiet = "-q" in options or "--quiet" in options
    call.record = "--record" in options
    call.raw = "-r" in options or "--raw" in options
    call.wait = "--wait" in options or call.timeout_seconds is not None
    return call


def _text(value: str | bool | None) -> str | None:
    return value if isinstance(value, str) else None


# Doing it


def perform(call: DataCall, environ: Mapping[str, str]) -> int | None:
    """Do it, print what there is to print, and return the exit code; None: nobody answered."""
    if not _began:
        _began.append(time.monotonic())
    try:
        message = encode(call, environ)
        reply = _exchange(call.socket or locations.client_socket(), message)
        if reply is None:
            return None
        record = record_text(call, reply.decode())
    except rawjson.MALFORMED as e:
        text = f"the daemon's answer is not understood: {e!r}"
        return exits.report("InvalidMessage", text, {}, as_json=call.as_json)
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
        return _message("Store", f'{{"data":{data},{rest}')
    if call.wait:
        parameters["wait"] = True
    seconds = time_left(call)
    if seconds is not None:
        parameters["timeout_seconds"] = seconds
    if call.revision is not None:
        parameters["revision"] = call.revision
    return _message("Fetch", rawjson.document(parameters))


def time_left(call: DataCall) -> float | None:
    """Of its timeout, counted from the first time that it was tried. None: there is none."""
    if call.timeout_seconds is None or not hung_up:
        return call.timeout_seconds
    return max(0.0, call.timeout_seconds - (time.monotonic() - _began[0]))


def _message(method: str, parameters: str) -> bytes:
    text = f'{{"method":"io.torcd.UserData.{method}","parameters":{parameters}}}'
    return text.encode() + b"\0"


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


def _exchange(path: str, message: bytes) -> bytes | None:
    """Send a message and return the first one that comes back; None where none does."""
    connection = socket(AF_UNIX, SOCK_STREAM)
    try:
        connection.connect(path)
        try:  # noqa: SIM105 - contextlib takes time to import
            connection.sendall(message)
        except OSError:
            # A daemon that refuses a message while it is being sent says why before it hangs up.
            pass
        pieces: list[bytes] = []
        while piece := connection.recv(_RECEIVE_BYTES):
            pieces.append(piece)
            if b"\0" in piece:
                return b"".join(pieces).partition(b"\0")[0]
        hung_up.append(path)
    except ConnectionResetError:
        hung_up.append(path)
    except OSError:
        pass
    finally:
        connection.close()
    return None


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
