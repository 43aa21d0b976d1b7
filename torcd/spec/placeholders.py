"""Placeholders in a command: `${files.input.NAME}`, `${files.output.NAME}` and, with `user_data`
in place of `files`, the same for values. Any other `${…}` is the shell's.
"""

import re
from collections.abc import Callable
from typing import Literal

import msgspec

_PLACEHOLDER = re.compile(r"\$\{(files|user_data)\.(input|output)\.((?:[^{}]|\{[^{}]*\})*)\}")
"""A name may have templates in it, which for_each fills in later."""


class Placeholder(msgspec.Struct, frozen=True):
    kind: Literal["files", "user_data"]
    direction: Literal["input", "output"]
    name: str

    @property
    def field(
        self,
    ) -> Literal["input_files", "output_files", "input_user_data", "output_user_data"]:
        """The field of a job that declares the same."""
        if self.kind == "files":
            return "input_files" if self.direction == "input" else "output_files"
        return "input_user_data" if self.direction == "input" else "output_user_data"


def substitute(text: str, replacement: Callable[[Placeholder], str]) -> str:
    if "${" not in text:
        return text
    return _PLACEHOLDER.sub(lambda match: replacement(_placeholder(match)), text)


def found(text: str) -> list[Placeholder]:
    if "${" not in text:
        return []
    return [_placeholder(match) for match in _PLACEHOLDER.finditer(text)]


def _placeholder(match: re.Match[str]) -> Placeholder:
    kind, direction, name = match.groups()
    return Placeholder(
        "files" if kind == "files" else "user_data",
        "input" if direction == "input" else "output",
        name,
    )
