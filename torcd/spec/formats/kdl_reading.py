"""What ckdl does not tell of a KDL text: where it is wrong, and what it takes without a word.

It keeps the last of two equal properties, and takes quadratic time for long numbers.
"""

import re
from collections.abc import Iterator

import ckdl

from torcd.spec.formats import TOO_LONG_NUMBER, SpecSyntaxError, duplicate_key, position_at
from torcd.spec.problems import Position, quoted

_MAX_DIGITS = 300
"""Of a number that stands in the text as such; floats end there too."""

# For the `(?>…)` in it see `toml`.
_TOKENS = re.compile(
    r'r?(?P<hashes>#+)"(?P<raw>.*?)"(?P=hashes)|"""(?:[^"\\]++|\\.|(?>"(?!"")))*+"""|r"[^"]*+"'
    r'|"(?P<text>[^"\\]*+(?:\\.[^"\\]*+)*+)"|(?P<skipped>//[^\n]*+|/\*.*?\*/|\\[^\S\n]*+(?://[^\n]*+)?\n)'
    r'|(?P<end>[\n;{}])|(?P<equals>=)|(?P<word>[^\s"{}();=\\/#]++)',
    re.DOTALL,
)
_MANY_DIGITS = re.compile(rf"[0-9a-fA-F_]{{{_MAX_DIGITS}}}")


def syntax_error(text: str) -> SpecSyntaxError:
    """As the version of KDL tells it that gets further."""
    furthest = -1
    for version in ("2", "1"):
        words = _problem(text, version)
        place = _place(words, text, version)
        at_end = 0 if words == _NO_TOKEN else len(text)  # a text without end, or a brace
        line = place.line if place else at_end
        if line > furthest:
            furthest = line
            plain = words[:1].lower() + words[1:]
            error = SpecSyntaxError(f"not KDL: {_PLAIN.get(words, plain)}", place)
    return error


def _problem(text: str, version: str) -> str:
    """What ckdl has against the text; empty if nothing."""
    try:
        ckdl.parse(text, version=version)
    except (ckdl.ParseError, UnicodeDecodeError) as problem:
        return str(problem)
    return ""


_NO_TOKEN = "Parse error"
_NO_BRACE = "Unexpected end of data (unclosed lists of children)"
_PLAIN = {
    _NO_TOKEN: "a text has no end, or a character cannot stand here",
    "Error parsing property or argument": "a value that is none, or a text with a bad escape",
    _NO_BRACE: "a brace has no end",
}


def _place(words: str, text: str, version: str) -> Position | None:
    """The line that ckdl stops at: the first with which the text is wrong, however it goes on.

    None if the text only lacks its end.
    """
    if words == _NO_BRACE:
        return None
    lines = text.split("\n")
    left = _MAX_PARSED

    def is_wrong(count: int, ending: str = "") -> bool:
        nonlocal left
        beginning = "\n".join(lines[:count]) + "\n" + ending
        left -= len(beginning)
        return _problem(beginning, version) == words

    right = 0
    while left > 0:
        wrong = len(lines)
        while wrong - right > 1:
            if left <= 0:
                return None
            middle = (right + wrong) // 2
            if is_wrong(middle):
                wrong = middle
            else:
                right = middle
        if all(is_wrong(wrong, ending) for ending in _ENDINGS):
            line = lines[wrong - 1]
            return Position(wrong, len(line) - len(line.lstrip()) + 1)
        # Only cut within something long: on behind it.
        right = wrong
        while right < len(lines) and left > 0 and is_wrong(right):
            right += 1
        if right >= len(lines):
            return None
    return None


_MAX_PARSED = 4_000_000
"""Characters that are parsed again to find a place."""

_ENDINGS = ("", '"', '"#', '"""', '"""#', "*/", "}")
"""Of what may have been begun."""


def refuse_long_numbers(text: str) -> None:
    if not _MANY_DIGITS.search(text):
        return
    for token in _TOKENS.finditer(text):
        word = token["word"]
        if word and len(word) > _MAX_DIGITS and word.lstrip("+-")[:1].isdigit():
            hint = "write it in quotes"
            raise SpecSyntaxError(TOO_LONG_NUMBER, position_at(text, token.start()), hint)


def refuse_repeated_properties(text: str, document: ckdl.Document) -> None:
    """A property that is there twice in one node."""
    kept = 0
    stack = list(document.nodes)
    while stack:
        node = stack.pop()
        kept += len(node.properties)
        stack += node.children
    if text.count("=") == kept:
        return
    found = 0
    repeated: tuple[str, int] | None = None
    for name, offset, is_again in _properties_in(text):
        found += not is_again
        if is_again and repeated is None:
            repeated = name, offset
    # What does not agree with ckdl has been misread: a commented node may have properties too.
    if repeated and found == kept:
        name, offset = repeated
        raise duplicate_key(visible(name), position_at(text, offset))


def _properties_in(text: str) -> Iterator[tuple[str, int, bool]]:
    """Each property's name and offset, and whether its node has had it before."""
    names: set[str] = set()
    last: re.Match[str] | None = None
    for token in _TOKENS.finditer(text):
        if token["end"]:
            names, last = set(), None
        elif token["equals"] and last:
            name = next((last[kind] for kind in ("raw", "text", "word") if last[kind]), last[0])
            yield name, last.start(), name in names
            names.add(name)
            last = None
        elif not token["skipped"]:
            last = token


def visible(name: str) -> str:
    return quoted(name)[1:-1]
