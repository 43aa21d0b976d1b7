"""The words of a command line, in the usual ways to write them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing and collections cost time, too
    from collections.abc import Mapping, Sequence

GLOBAL = {
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


class Options:
    """What the options said."""

    def __init__(self) -> None:
        self._said: dict[str, str | bool] = {}

    def text(self, name: str) -> str | None:
        """The argument of an option, by what it is kept as; None: the option is not there."""
        value = self._said.get(name)
        return value if isinstance(value, str) else None

    def has(self, *flags: str) -> bool:
        return any(flag in self._said for flag in flags)

    def keep(self, name: str, value: str | bool) -> None:
        self._said[name] = value

    @property
    def key(self) -> str | None:
        return self.text("key")

    @property
    def socket(self) -> str | None:
        return self.text("socket")

    @property
    def as_json(self) -> bool:
        return self.text("format") == "json"

    @property
    def is_quiet(self) -> bool:
        return self.has("-q", "--quiet")

    @property
    def are_usual(self) -> bool:
        """Whether those of all commands are such as need no complaint."""
        return (
            self.text("format") in (None, "table", "json") and self.key != "" and self.socket != ""
        )


def parse(
    words: Sequence[str], names: Sequence[tuple[str, ...]], known: Mapping[str, str]
) -> tuple[tuple[str, ...], list[str], Options] | None:
    """Which of the commands (each the words of its name) it is, its arguments, and its options, of
    which it knows these; None: none of them, or this takes more than this to read."""
    options = Options()
    rest = take_options(words, GLOBAL, options)
    if rest is None:
        return None
    for name in names:
        if tuple(rest[: len(name)]) == name:
            break
    else:
        return None
    rest = rest[len(name) :]
    arguments: list[str] = []
    while rest:
        if rest[0] == "-" or not rest[0].startswith("-") or is_negative_number(rest[0]):
            arguments.append(rest[0])
            rest = rest[1:]
            continue
        after = take_options(rest, known, options)
        if after is None or len(after) == len(rest):
            return None
        rest = after
    return (name, arguments, options) if options.are_usual else None


def is_negative_number(word: str) -> bool:
    return len(word) > 1 and word[0] == "-" and word[1] in "0123456789"


def take_options(
    words: Sequence[str], known: Mapping[str, str], found: Options
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
                found.keep("format", "json")
            found.keep(option, True)
            words = words[1:]
        elif equals:
            found.keep(kept_as, attached)
            words = words[1:]
        elif len(words) > 1:
            found.keep(kept_as, words[1])
            words = words[2:]
        else:
            return None
    return words
