"""What is wrong with a spec, where, and what to write instead.

A `Finding` says where by its path in the spec; it becomes a `Problem` once the file, and the line
and column where a format can tell them, are known.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from torcd.errors import InvalidSpec

Path = tuple[str | int, ...]
"""From the top: ("jobs", 3, "command")."""

Severity = Literal["error", "warning"]

MAX_PROBLEMS = 1_000
"""How many problems are told at most: as many as anybody reads, and they fit into a message."""

_SHOWN = 60
"""Characters of a text that a message repeats."""

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")


class Finding(msgspec.Struct, frozen=True):
    """Something wrong at a place in a spec."""

    path: Path
    message: str
    hint: str | None = None
    severity: Severity = "error"
    namespace: str | None = None
    """Where an unknown name was looked for: "jobs", "files" or "user_data"."""
    name: str | None = None
    """The unknown name, if it is one and no regex."""


class Position(msgspec.Struct, frozen=True):
    """A place in a text: line and column count characters, from 1."""

    line: int
    column: int


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A finding with the place where it can be mended."""

    severity: Severity
    file: str
    path: str
    """Within the spec, `jobs[3].command`; empty for the whole of it."""
    message: str
    line: int | None = None
    column: int | None = None
    hint: str | None = None
    """What to write instead."""

    def __str__(self) -> str:
        """`FILE:LINE:COLUMN: PATH: MESSAGE (HINT)`, without what is not known."""
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        text = ": ".join(part for part in (place, self.path, self.message) if part)
        if self.severity == "warning":
            text = text.replace(self.message, f"warning: {self.message}", 1)
        return f"{text} ({self.hint})" if self.hint else text


def problems(
    findings: Iterable[Finding], *, file: str, positions: Mapping[Path, Position]
) -> list[Problem]:
    """The findings as problems of `file`, in its order, each at its nearest known position."""
    found = [_problem(finding, file, positions) for finding in findings]
    return sorted(found, key=lambda p: (p.line or 0, p.column or 0))


def most_important(findings: Sequence[Finding]) -> list[Finding]:
    """As many as are told: errors before warnings, otherwise the first ones."""
    return sorted(findings, key=lambda f: f.severity != "error")[:MAX_PROBLEMS]


def _problem(finding: Finding, file: str, positions: Mapping[Path, Position]) -> Problem:
    position = None
    for end in range(len(finding.path), -1, -1):
        position = positions.get(finding.path[:end])
        if position:
            break
    return Problem(
        severity=finding.severity,
        file=file,
        line=position.line if position else None,
        column=position.column if position else None,
        path=path_text(finding.path),
        message=finding.message,
        hint=finding.hint,
    )


def invalid(told: Sequence[Problem], *, more: int = 0) -> InvalidSpec:
    """The error that tells them, a line each; `more` there are besides."""
    lines = [str(problem) for problem in told]
    if more:
        lines.append(f"… and {more} more problems")
    return InvalidSpec("\n".join(lines), problems=msgspec.to_builtins(told), more=more)


def path_text(path: Path) -> str:
    """`jobs[3].command`; a key that is no plain word stands in brackets and quotes."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif len(part) <= _SHOWN and _PLAIN_KEY.match(part):
            text += f".{part}" if text else part
        else:
            text += f"[{quoted(part)}]"
    return text


def quoted(text: str) -> str:
    """For a message: in double quotes, what cannot be seen escaped, cut after 60 characters."""
    if len(text) > _SHOWN:
        text = text[: _SHOWN - 3] + "…"
    shown = msgspec.json.encode(text.encode(errors="replace").decode()).decode()
    return shown if shown.isprintable() else "".join(map(_visible, shown))


def _visible(character: str) -> str:
    """Terminals obey some characters, and show nothing for others."""
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """`did you mean "x"?`, if one of the known names is near."""
    if len(name) > 200:
        return None  # No slip of the pen; and comparing takes quadratic time.
    candidates = [k for k in known if abs(len(k) - len(name)) <= 3]
    found = difflib.get_close_matches(name, candidates, n=1, cutoff=0.6)
    return f"did you mean {quoted(found[0])}?" if found else None
