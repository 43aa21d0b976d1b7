"""A file becomes a `WorkflowSpec`, with every problem told at its line. For the client's side."""

import codecs
from pathlib import PurePosixPath

import msgspec

from torcd.spec import adding, formats, machine, structure
from torcd.spec.expansion import expansion
from torcd.spec.problems import (
    Finding,
    Path,
    Position,
    Problem,
    invalid,
    most_important,
    problems,
    quoted,
)
from torcd.spec.schema import WorkflowSpec

STANDARD_INPUT = "-"

MAX_BYTES = 64 << 20
"""Of a spec file: four times what fits into a message as the daemon takes them by default. What is
larger was not written by people, or for us."""

_SCHEMA = "$schema"
"""Tells editors which JSON Schema a file fits, and is no part of the workflow."""


class Document(msgspec.Struct, frozen=True):
    """A spec file that was read and found right."""

    spec: WorkflowSpec
    warnings: list[Problem]


def default_name(file: str) -> str:
    """What a workflow is called that does not say so: the file's stem."""
    return "workflow" if file == STANDARD_INPUT else PurePosixPath(file).stem


def read(
    text: bytes,
    *,
    file: str,
    format: str | None = None,  # noqa: A002
    compare_with_machine: bool = False,
    adds: bool = False,
) -> Document:
    """Read and check a spec.

    `file` is its name, `-` for standard input; its suffix tells the format unless `format` does
    (a key of `formats.FORMATS`). With `compare_with_machine`, what asks for more than this machine
    has is warned about. One that `adds` to a workflow may name what is in that, and is checked as
    far as that goes without it. Raises InvalidSpec with all problems.
    """
    try:
        chosen = formats.by_name(format or _format_of(file))
        decoded_text = _decode_text(text)
        tree = chosen.load(decoded_text)
        if not isinstance(tree, dict):
            raise formats.SpecSyntaxError(
                "the spec is not a mapping", Position(1, 1), 'write {jobs: [{command: "…"}]}'
            )
    except formats.SpecSyntaxError as error:
        position: dict[Path, Position] = {(): error.position} if error.position else {}
        hint = error.hint
        if file == STANDARD_INPUT and format is None:
            hint = hint or "standard input is read as JSON5; for another format say --spec-format"
        finding = Finding(error.path, error.message, hint)
        raise invalid(problems([finding], file=file, positions=position)) from None

    if isinstance(tree.get(_SCHEMA), str):
        del tree[_SCHEMA]
    decoded = structure.decode(tree)
    del tree  # It may be large, and is of no use any more.
    if adds:
        found = [
            *decoded.findings,
            *_trusted(adding.unroll(decoded.spec).findings, decoded.untrusted),
        ]
    else:
        found = all_findings(decoded, default_name(file), compare_with_machine=compare_with_machine)
    if not found:
        return Document(decoded.spec, [])
    worst = most_important(found)
    paths = {f.path[:end] for f in worst for end in range(1, len(f.path) + 1)}
    told = problems(worst, file=file, positions=chosen.locate(decoded_text, paths))
    if any(problem.severity == "error" for problem in told):
        raise invalid(told, more=len(found) - len(worst))
    return Document(decoded.spec, told)


def all_findings(
    decoded: structure.Decoded, name: str, *, compare_with_machine: bool = False
) -> list[Finding]:
    """What does not fit the structs, and what breaks the rules beyond them."""
    found = expansion(decoded.spec, directory="/", default_name=name).findings
    if compare_with_machine:
        found += machine.findings(decoded.spec)
    if decoded.findings:
        found = [*decoded.findings, *_trusted(found, decoded.untrusted)]
    return found


def _format_of(file: str) -> str:
    if file == STANDARD_INPUT:
        return "json5"
    suffix = PurePosixPath(file).suffix.lower()
    if suffix in formats.SUFFIXES:
        return formats.SUFFIXES[suffix]
    known = ", ".join(formats.SUFFIXES)
    what = f"the suffix {quoted(suffix)} is of no known format" if suffix else "it has no suffix"
    raise formats.SpecSyntaxError(what, hint=f"name it {known}, or say --spec-format")


def _decode_text(text: bytes) -> str:
    """The text with all its line breaks as `\\n`: so that every format counts the same lines."""
    if len(text) > MAX_BYTES:
        message = f"the spec has more than {MAX_BYTES >> 20} MiB"
        raise formats.SpecSyntaxError(message, hint="let parameters make many jobs of one")
    text = text.removeprefix(codecs.BOM_UTF8)
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in text[:4]:
        message = "not UTF-8, but UTF-16 or UTF-32 by its first bytes"
        raise formats.SpecSyntaxError(message, Position(1, 1), "save it as UTF-8")
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        before = _with_plain_breaks(text[: error.start].decode())
        raise formats.SpecSyntaxError(
            f"not UTF-8: the byte 0x{text[error.start]:02x}",
            formats.position_at(before, len(before)),
            "save it as UTF-8",
        ) from None
    if not decoded.strip():
        raise formats.SpecSyntaxError("there is nothing in it")
    return _with_plain_breaks(decoded)


def _with_plain_breaks(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _trusted(found: list[Finding], untrusted: set[Path]) -> list[Finding]:
    """Findings that do not come from the stand-in for something already told."""
    sections = {p[0] for p in untrusted if p and (len(p) <= 2 or p[2:] == ("name",))}
    return [
        finding
        for finding in found
        if not any(finding.path[:end] in untrusted for end in range(len(finding.path) + 1))
        and finding.namespace not in sections
    ]
