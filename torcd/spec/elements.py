"""The elements of a value that a job says `for_each` of, and the templates they fill in.

`{index}` is an element's place, from 0; `{item}` the element, `{item.name}` a field of it and
`{item.0}` an item of it; `{key}` is the key under which it is in an object. A text is put in as it
is, a number as it is written, a list or an object as compact JSON. The format behind a colon is
any of Python's. As with parameters, any other brace is left alone, and so is one behind a dollar
sign.
"""

import re
from collections.abc import Iterator, Sequence

import msgspec

from torcd import value
from torcd.spec.problems import Finding, Path, quoted
from torcd.spec.templates import MAX_WIDTH, TOO_LONG, Budget

NAMES = frozenset({"item", "index", "key"})
"""What no parameter of such a job may be called."""

_USE = re.compile(r"(?<!\$)\{(index|key|item(?:\.[^{}:\0\r\n]+)?)(?::([^{}]*))?\}")
_DIGITS = re.compile(r"\d+")
_INTEGER = re.compile(r"-?\d{1,300}\Z", re.ASCII)

_SAMPLES = ("0", "10", "a")
"""In a name they make names such as elements will have."""


class Element(msgspec.Struct, frozen=True, kw_only=True):
    index: int
    key: str | None
    """None: it is in a list."""
    text: bytes
    """Its JSON."""
    of: str
    """The name of the value it is in."""

    @property
    def sha256(self) -> str:
        return value.parse(self.text, name=self.of, max_bytes=len(self.text)).sha256


class Elements(msgspec.Struct, frozen=True):
    """A value that was looked at."""

    name: str
    sha256: str
    items: Sequence[Element]


class NoElements(Exception):
    """A value is neither a list nor an object. Argument: that it is not, for people."""


class Unfillable(Exception):
    """An element has not what a template wants. Argument: the finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def read(name: str, value: "value.Value") -> Elements:
    """Raises NoElements."""
    text = bytes(value.text)
    items: list[tuple[str | None, msgspec.Raw]]
    if text.startswith(b"["):
        items = [(None, item) for item in msgspec.json.decode(text, type=list[msgspec.Raw])]
    elif text.startswith(b"{"):
        items = list(msgspec.json.decode(text, type=dict[str, msgspec.Raw]).items())
    else:
        message = f"user_data {quoted(name)} is {_kind(text)}: for_each needs a list or an object"
        raise NoElements(message)
    return Elements(
        name,
        value.sha256,
        [
            Element(index=n, key=key, text=bytes(item), of=name)
            for n, (key, item) in enumerate(items)
        ],
    )


def _kind(text: bytes) -> str:
    if text.startswith(b'"'):
        return f"the text {quoted(msgspec.json.decode(text, type=str))}"
    word = text.decode()
    return word if word in ("null", "true", "false") else f"the number {quoted(word)[1:-1]}"


def is_in(text: str) -> bool:
    """Whether an element would fill something in."""
    return "{" in text and _USE.search(text) is not None


def samples(name: str) -> Iterator[str]:
    """Names that might be made of a name with templates: for what matches some of them, it is as
    good as certain that it will match what there will be."""
    for sample in _SAMPLES:
        yield _USE.sub(lambda match, text=sample: _sample(text, match[2]), name)  # type: ignore[misc]


def _sample(text: str, form: str | None) -> str:
    if not form:
        return text
    try:
        return format(int(text), form)
    except ValueError:
        return text


class _Use(msgspec.Struct, frozen=True):
    written: str
    name: str
    form: str | None


class ElementTemplate(msgspec.Struct, frozen=True):
    """A text that elements fill in."""

    pieces: tuple[str | _Use, ...]
    path: Path
    is_regex: bool
    budget: Budget

    parameters: set[int] = set()

    def text(self, element: Element) -> str:
        """Raises Unfillable."""
        try:
            pieces = [p if isinstance(p, str) else self._filled_in(p, element) for p in self.pieces]
        except _Wrong as wrong:
            raise Unfillable(Finding(self.path, str(wrong))) from None
        text = "".join(pieces)
        self.budget.left -= len(text)
        if self.budget.left < 0:
            raise Unfillable(Finding(self.path, TOO_LONG))
        return text

    def _filled_in(self, use: _Use, element: Element) -> str:
        if use.name == "index":
            text = _formatted(use, str(element.index).encode(), element)
        elif use.name != "key":
            text = _formatted(use, _part(element, use.name.split(".")[1:]), element)
        elif element.key is not None:
            text = _formatted(use, msgspec.json.encode(element.key), element)
        else:
            raise _Wrong(
                f"{quoted(use.written)} is for the keys of an object, and user_data "
                f"{quoted(element.of)} is a list"
            )
        return re.escape(text) if self.is_regex else text


class ElementCompiler:
    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def compile(self, text: str, path: Path, *, is_regex: bool = False) -> ElementTemplate | str:
        if not is_in(text):
            return text
        pieces: list[str | _Use] = []
        done = 0
        for match in _USE.finditer(text):
            pieces += [text[done : match.start()], _Use(match[0], match[1], match[2])]
            done = match.end()
        pieces.append(text[done:])
        return ElementTemplate(tuple(p for p in pieces if p), path, is_regex, self._budget)


class _Wrong(Exception):
    pass


def _part(element: Element, fields: Sequence[str]) -> bytes:
    """The JSON of a field of it, however deep."""
    text = element.text
    for field in fields:
        found: msgspec.Raw | None = None
        if text.startswith(b"{"):
            found = msgspec.json.decode(text, type=dict[str, msgspec.Raw]).get(field)
        elif text.startswith(b"[") and field.isascii() and field.isdecimal() and len(field) < 10:
            items = msgspec.json.decode(text, type=list[msgspec.Raw])
            found = items[int(field)] if int(field) < len(items) else None
        if found is None:
            raise _Wrong(f"{_named(element)} has no field {quoted('.'.join(fields))}")
        text = bytes(found)
    return text


def _formatted(use: _Use, text: bytes, element: Element) -> str:
    is_text = text.startswith(b'"')
    written = msgspec.json.decode(text, type=str) if is_text else text.decode()
    if text.startswith((b"{", b"[")):
        written = msgspec.json.format(text, indent=-1).decode()
    form = use.form
    if not form:
        return written
    if any(len(digits) > 5 or int(digits) > MAX_WIDTH for digits in _DIGITS.findall(form)):
        raise _Wrong(f"{quoted(use.written)} is wider than {MAX_WIDTH}")
    try:
        if is_text or not (text[:1].isdigit() or text.startswith(b"-")):
            return format(written, form)
        return format(int(written) if _INTEGER.match(written) else float(written), form)
    except (ValueError, OverflowError):
        raise _Wrong(
            f"{quoted(use.written)} is no format for {quoted(written)}, of {_named(element)}"
        ) from None


def _named(element: Element) -> str:
    """`element 2 of "cities"`."""
    key = "" if element.key is None else f" ({quoted(element.key)})"
    return f"element {element.index}{key} of {quoted(element.of)}"
