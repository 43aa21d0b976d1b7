"""Problems of a spec, one shape for JSON and one line each for people."""

from collections.abc import Mapping
from typing import Any

import msgspec

from torcctl.render.text import clean_lines
from torcd.spec import Problem


def shape(problem: Problem | Mapping[str, object]) -> dict[str, Any]:
    """All fields of a problem, null where one is not known."""
    known = msgspec.to_builtins(problem)
    return {name: known.get(name) for name in _FIELDS}


_FIELDS = ("severity", "file", "line", "column", "path", "message", "hint")


def problem_lines(items: list[dict[str, Any]]) -> str:
    """`FILE:LINE:COLUMN: PATH: MESSAGE (HINT)`, a line each."""
    return "".join(f"{clean_lines(str(msgspec.convert(item, Problem)))}\n" for item in items)
