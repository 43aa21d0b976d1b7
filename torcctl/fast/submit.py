"""`submit` of a spec that is plain JSON: its text goes to the daemon as it is.

What is wrong with a spec is for others to say. The daemon refuses it, and then the full command
line reads it anew, tells every problem at its line, and asks the daemon itself if it finds none.
The same goes for whatever else the daemon refuses: nothing has come of that. Where it has taken a
spec that there is something to say about, that is read to say it. What Python's JSON reader takes
and the language does not, and the other way round, is not read here: comments, keys that are there
twice, and the fields that any JSON may stand in, whose numbers have a text.
"""

from __future__ import annotations

import gc
import os
import sys

from torcctl import exits, rawjson
from torcctl.fast import words as w
from torcctl.fast.exchange import HungUp, exchange, message
from torcctl.render.text import clean_lines
from torcd import locations

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing and the structs cost time
    from collections.abc import Mapping, Sequence

_OPTIONS = w.GLOBAL | {
    "-j": "most",
    "--max-parallel-jobs": "most",
    "--wait-for-inputs": "",
    "--spec-format": "format of the spec",
}

_MAX_BYTES = 16 << 20
"""Larger ones may be more than a message, and are worth a careful look."""

PLAIN = frozenset(
    {
        "name",
        "description",
        "user",
        "env",
        "parameters",
        "jobs",
        "files",
        "user_data",
        "resource_requirements",
        "failure_handlers",
        "actions",
        "jobs_sort_method",
    }
)
"""The fields of a workflow that it may have here."""


def perform(words: Sequence[str], environ: Mapping[str, str]) -> int | None:
    """Submit, print the key and return the exit code; None: that takes more than this."""
    found = w.parse(words, (("submit",),), _OPTIONS)
    if found is None or len(found[1]) != 1:
        return None
    _, (path,), options = found
    format_ = options.text("format of the spec") or path.rpartition(".")[2].lower()
    most = options.text("most") or "1"
    if path == "-" or format_ not in ("json", "json5") or not _is_count(most):
        return None
    gc.disable()  # a large spec is many objects, and none of them is garbage
    text = _plain_json(path)
    parameters = None if text is None else _parameters(text, path, options, environ)
    if parameters is None:
        return None
    socket = options.socket or locations.client_socket()
    try:
        reply = exchange(socket, message("Manager.Submit", parameters))
    except HungUp as e:
        return _went_away(socket, options) if e.may_be_done else None
    try:
        submitted = None if reply is None else _Submitted(reply.decode())
    except rawjson.MALFORMED as e:
        text = f"the daemon's answer is not understood: {e!r}"
        return exits.report("InvalidMessage", text, {}, as_json=options.as_json)
    if submitted is None or submitted.is_refused:
        return None
    return _tell(submitted, path, options)


class _Submitted:
    """What the daemon answered. Raises one of rawjson.MALFORMED."""

    def __init__(self, reply: str) -> None:
        self.is_refused = bool(rawjson.member(reply, ("error",)))
        if self.is_refused:
            return
        self.key = self._text(reply, "key")
        self.name = self._text(reply, "name")
        self.jobs = self._text(reply, "jobs")
        self.warnings = rawjson.decode(rawjson.member(reply, ("parameters", "warnings")) or "[]")
        self.is_certain = rawjson.member(reply, ("parameters", "doubts")) == "0"
        """There is nothing to say about the spec. An older daemon does not tell."""

    @staticmethod
    def _text(reply: str, name: str) -> str:
        text = rawjson.member(reply, ("parameters", name))
        if text is None:
            raise ValueError(f"it has no {name}")
        return text


def _plain_json(path: str) -> str | None:
    """The text of the file, without space that means nothing; None: it is to be read by others."""
    if not os.path.isfile(path):
        return None  # a pipe is read once
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
        text = data.decode()
    except (OSError, ValueError):
        return None
    if len(data) > _MAX_BYTES or "\\ud" in text or "\\uD" in text:
        return None
    fields = rawjson.fields(text)
    if fields is None or not PLAIN.issuperset(fields):
        return None
    values = fields.get("user_data")
    if isinstance(values, list):
        if any(isinstance(item, dict) and "schema" in item for item in values):
            return None
    elif "\n" not in text:
        return text
    return rawjson.compact(text)


def _parameters(text: str, path: str, options: w.Options, environ: Mapping[str, str]) -> str | None:
    """The JSON text of the call's; None: it is to be made by others."""
    try:
        "".join([*environ, *environ.values()]).encode()
        directory = directory_of(path)
        directory.encode()
        given: dict[str, str | bool | float] = {
            "directory": directory,
            "default_name": stem_of(path),
        }
    except (UnicodeEncodeError, FileNotFoundError):
        return None
    user = _login_name()
    if user is not None:
        given["user"] = user
    most = options.text("most")
    if most is not None:
        given["max_parallel_jobs"] = int(most)
    if options.has("--wait-for-inputs"):
        given["wait_for_inputs"] = True
    environment = rawjson.document(dict(environ))
    return f'{{"workflow":{text},"environment":{environment},{rawjson.document(given)[1:]}'


def directory_of(path: str) -> str:
    """From where the relative paths of a spec count, absolute: where its file is, or, for standard
    input, this process. Raises FileNotFoundError where that is gone."""
    whole = path if path.startswith("/") else f"{os.getcwd()}/{'' if path == '-' else path}"
    parts = [part for part in whole.split("/") if part not in ("", ".")]
    if path != "-":
        parts.pop()
    directory = "/" + "/".join(parts)
    return os.path.realpath(directory) if ".." in parts else directory


def stem_of(path: str) -> str:
    """What a workflow is called that does not say so."""
    name = [part for part in path.split("/") if part not in ("", ".")][-1]
    stem, _, _ = name.rpartition(".")
    return stem or name


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text[:20]) >= 1


def _login_name() -> str | None:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return None


def _tell(submitted: _Submitted, path: str, options: w.Options) -> int:
    doubts = [] if submitted.is_certain or options.is_quiet else _doubts(path, options)
    if not options.is_quiet:
        for warning in [*doubts, *(f"warning: {text}" for text in _list(submitted.warnings))]:
            sys.stderr.write(clean_lines(warning) + "\n")
        sys.stderr.flush()
    if options.as_json:
        members = f'  "key": {submitted.key},\n  "name": {submitted.name},\n'
        text = f'{{\n{members}  "jobs": {submitted.jobs}\n}}\n'
    else:
        text = rawjson.string(submitted.key) + "\n"
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as e:
        return exits.cannot_go_on(e, as_json=options.as_json)
    return exits.DONE


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _doubts(path: str, options: w.Options) -> list[str]:
    """What the full command line would say of the spec."""
    from torcctl import specfile
    from torcd.errors import TorcError

    try:
        file = specfile.read(path, options.text("format of the spec"))
    except TorcError:
        return []  # it is another file by now, or an older language than the daemon's
    return [str(problem) for problem in file.document.warnings]


def _went_away(socket: str, options: w.Options) -> int:
    import msgspec

    from torcd.client import conversation
    from torcd.protocol import manager as m

    asked = m.Submit(workflow=msgspec.Raw(b"{}"), directory="/")
    error = conversation.broken(socket, asked)
    return exits.report(error.code, error.message, error.facts, as_json=options.as_json)
