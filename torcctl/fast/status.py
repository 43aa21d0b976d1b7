"""`status`: how a workflow stands."""

from __future__ import annotations

import sys
from _json import encode_basestring

from torcctl import exits, rawjson
from torcctl.fast import words as w
from torcctl.fast.exchange import HungUp, exchange, message
from torcd import locations

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing and the structs cost time
    from collections.abc import Mapping, Sequence
    from typing import Any

FIELDS = frozenset(
    {
        "key",
        "name",
        "status",
        "run_id",
        "jobs",
        "description",
        "user",
        "owner",
        "directory",
        "max_parallel_jobs",
        "stopping",
        "frozen",
        "submitted_at",
        "started_at",
        "ended_at",
        "archived",
        "held_up",
        "actions",
    }
)
"""Of a workflow, as the daemon of this version tells them. Another one's answer is for the full
command line, which knows what stands for what is absent."""


def perform(words: Sequence[str], environ: Mapping[str, str]) -> int | None:
    """Print it and return the exit code; None: that takes more than this."""
    found = w.parse(words, (("status",),), w.GLOBAL)
    if found is None or found[1]:
        return None
    options = found[2]
    key = options.key or environ.get("TORC_WORKFLOW_KEY")
    asked = rawjson.document({"workflow_key": key} if key else {})
    try:
        path = options.socket or locations.client_socket()
        reply = exchange(path, message("Manager.GetWorkflow", asked))
        workflow = None if reply is None else _workflow(reply.decode())
    except (HungUp, *rawjson.MALFORMED):
        return None
    if workflow is None:
        return None
    if options.as_json:
        text = _document(workflow)
    else:
        from torcctl.render.standing import workflow_text

        text = workflow_text(_Seen(workflow))  # type: ignore[arg-type]  # it has these fields
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode(errors="backslashreplace"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as e:
        return exits.cannot_go_on(e, as_json=options.as_json)
    return exits.DONE


class _Word:
    """A state, as the structs have it."""

    def __init__(self, value: str) -> None:
        self.value = value


class _Seen:
    """A workflow with the attributes of its struct."""

    def __init__(self, workflow: dict[str, Any]) -> None:
        self.__dict__.update(workflow, status=_Word(workflow["status"]))


def _workflow(reply: str) -> dict[str, Any] | None:
    """None: an error, or of other fields than these. Raises one of rawjson.MALFORMED."""
    if rawjson.member(reply, ("error",)):
        return None
    text = rawjson.member(reply, ("parameters", "workflow"))
    workflow = None if text is None else rawjson.decode(text)
    return workflow if isinstance(workflow, dict) and workflow.keys() == FIELDS else None


def _document(workflow: dict[str, Any]) -> str:
    """As `render.jsontext` has it."""
    lines = ",\n".join(f"  {_text(name)}: {_indented(value)}" for name, value in workflow.items())
    return f"{{\n{lines}\n}}\n"


def _indented(value: object) -> str:
    if not isinstance(value, dict):
        return _text(value)
    lines = ",\n".join(f"    {_text(name)}: {_text(count)}" for name, count in value.items())
    return f"{{\n{lines}\n  }}" if value else "{}"


def _text(value: object) -> str:
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
