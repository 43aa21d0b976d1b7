"""Texts with `{name}` and `{name:format}` in them, put together for each combination of values.

Only the names of an item's parameters count: any other brace is left alone, and so is one behind a
dollar sign, which is the shell's (`${i}`). The format is any of Python's. Each value is formatted
once for each way in which it is written, however many combinations there are; so putting a text
together is joining.
"""

import re
from collections.abc import Sequence

import msgspec

from torcd.spec.parameters import Combinations, Value
from torcd.spec.problems import Finding, Path, quoted

MAX_WIDTH = 1_000
"""Of a format's width and precision."""

MAX_CHARACTERS = 1 << 29
"""What the copies of all texts of a spec may come to: five hundred for each of a million jobs."""

_USE = re.compile(r"(?<!\$)\{([^{}:\0\r\n]+)(?::([^{}]*))?\}")
_DIGITS = re.compile(r"\d+")
_WIDTH = re.compile(r"(?:.?[<>=^])?[-+ ]?#?(\d+)", re.DOTALL)


class Budget:
    """How many characters the copies of a spec's texts may still come to."""

    def __init__(self) -> None:
        self.left = MAX_CHARACTERS


class Piece(msgspec.Struct, frozen=True):
    """A parameter's place in a text."""

    parameter: int
    """Which one, counted from 0."""
    texts: Sequence[str]
    """Of each of its values."""


class Template(msgspec.Struct, frozen=True):
    """A text with parameters in it."""

    pieces: tuple[str | Piece, ...]

    @property
    def parameters(self) -> set[int]:
        return {piece.parameter for piece in self.pieces if isinstance(piece, Piece)}

    def text(self, indexes: Sequence[int]) -> str:
        """With the values at these places."""
        return "".join(
            [
                piece if isinstance(piece, str) else piece.texts[indexes[piece.parameter]]
                for piece in self.pieces
            ]
        )


class Compiler:
    """Reads the texts of one item."""

    def __init__(self, combinations: Combinations, budget: Budget) -> None:
        self.findings: list[Finding] = []
        self._combinations = combinations
        self._budget = budget
        self._places = {name: n for n, name in enumerate(combinations.names)}
        self._formatted: dict[tuple[int, str | None, bool], Sequence[str] | None] = {}

    def compile(self, text: str, path: Path, *, is_regex: bool = False) -> Template | str:
        """The text itself if none of the parameters is in it."""
        if "{" not in text:
            return text
        pieces: list[str | Piece] = []
        done = 0
        for match in _USE.finditer(text):
            place = self._places.get(match[1])
            if place is None:
                continue
            texts = self._texts(place, match, path, is_regex)
            if texts is None:
                continue
            pieces += [text[done : match.start()], Piece(place, texts)]
            done = match.end()
        if not pieces:
            return text
        pieces.append(text[done:])
        self._budget.left -= sum(map(self._characters, pieces))
        if self._budget.left < 0:
            if not self.findings:
                self.findings.append(Finding(path, TOO_LONG))
            return text
        return Template(tuple(piece for piece in pieces if piece))

    def _characters(self, piece: str | Piece) -> int:
        """What it comes to in all copies."""
        count = self._combinations.count
        if isinstance(piece, str):
            return len(piece) * count
        return sum(map(len, piece.texts)) * (count // len(piece.texts))

    def _texts(
        self, place: int, match: re.Match[str], path: Path, is_regex: bool
    ) -> Sequence[str] | None:
        form = match[2]
        key = place, form, is_regex
        if key not in self._formatted:
            values = self._combinations.values[place]
            try:
                texts = _formatted(values, form, self._budget.left)
            except _WrongFormat as wrong:
                message = f"{quoted(match[0])} {wrong}" if wrong.args else TOO_LONG
                if wrong.args or not self.findings:
                    self.findings.append(Finding(path, message))
                self._formatted[key] = None
                return None
            self._formatted[key] = [re.escape(text) for text in texts] if is_regex else texts
        return self._formatted[key]


TOO_LONG = f"the copies of all texts come to more than {MAX_CHARACTERS} characters"


class _WrongFormat(Exception):
    """Ends a sentence that begins with the use; without one, the texts are too long."""


def _formatted(values: Sequence[Value], form: str | None, most: int) -> list[str]:
    """Each value as text, `most` characters in all."""
    if not form:
        return [str(value) for value in values]
    if any(len(digits) > 5 or int(digits) > MAX_WIDTH for digits in _DIGITS.findall(form)):
        raise _WrongFormat(f"is wider than {MAX_WIDTH}")
    width = _WIDTH.match(form)
    if width and int(width[1]) * len(values) > most:
        raise _WrongFormat  # before they are made
    texts = []
    for value in values:
        try:
            text = format(value, form)
        except (ValueError, OverflowError):
            shown = f"text {quoted(value)}" if isinstance(value, str) else f"number {value}"
            raise _WrongFormat(f"is no format for the {shown}") from None
        most -= len(text)
        if most < 0:
            raise _WrongFormat
        texts.append(text)
    return texts
