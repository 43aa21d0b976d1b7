"""Which of many names regexes are found in, in bounded time.

What can only take time that is quadratic in a short name is searched here. Anything else (groups
that repeat, many repeats, references back, long names) goes to a process of its own, which may be
killed: see `searching`. Of a regex that begins with `^` and plain letters only the names that begin
like that are looked at.
"""

import json
import re
import subprocess
import sys
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cached_property

import msgspec

from torcd.spec import searching

TOO_SLOW = "the regex takes too long"
"""The problem of a regex that was given up on."""

NOT_TRIED = "not tried, since other regexes take too long"
_MAX_GIVEN_UP = 3

_MAX_REGEX = 10_000
"""Characters. Compiling takes time as well."""
_MAX_NAME = 200
"""Characters; in longer names even a simple regex may search for long."""

_ESCAPES_AND_CLASSES = re.compile(r"\\.|\[\^?\]?(?:\\.|[^]\\])*\]", re.DOTALL)
_REPEATED_GROUP = re.compile(r"\)[*+?{]")
_REPEAT = re.compile(r"(?<![*+?}(])(?:[*+?]|\{\d*,?\d*\})")
_BACK = re.compile(r"\\\d|\(\?P?[=(]")
_PREFIX = re.compile(r"\^((?:[\w-]|\\[\W_])+)", re.ASCII)


class Problem(msgspec.Struct, frozen=True):
    """Why a regex is none, or was given up on."""

    message: str


class Names:
    """Names that regexes are searched for in; the place of each is its place in the sequence."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def search(self, regexes: Iterable[str]) -> dict[str, list[int] | Problem]:
        """For each regex the places of the names it is found in."""
        answers: dict[str, list[int] | Problem] = {}
        doubtful: list[tuple[str, list[int] | None]] = []
        for regex in dict.fromkeys(regexes):
            compiled = _compiled(regex)
            if isinstance(compiled, Problem):
                answers[regex] = compiled
                continue
            places = self._beginning_alike(regex)
            if self._is_harmless(regex):
                names = self._names
                wanted = range(len(names)) if places is None else places
                answers[regex] = [place for place in wanted if compiled.search(names[place])]
            else:
                doubtful.append((regex, places))
        for _ in range(_MAX_GIVEN_UP if doubtful else 0):
            found = _search_elsewhere(self._names, doubtful)
            for (regex, _), places in zip(doubtful, found, strict=False):
                answers[regex] = places
            for regex, _ in doubtful[len(found) : len(found) + 1]:
                answers[regex] = Problem(TOO_SLOW)
            doubtful = doubtful[len(found) + 1 :]
            if not doubtful:
                return answers
        answers.update((regex, Problem(NOT_TRIED)) for regex, _ in doubtful)
        return answers

    def _is_harmless(self, regex: str) -> bool:
        bare = _ESCAPES_AND_CLASSES.sub("x", regex)
        return (
            self._are_short
            and not _BACK.search(regex)
            and not _REPEATED_GROUP.search(bare)
            and len(_REPEAT.findall(bare)) <= 2
            and bare.count("|") <= 8
        )

    def _beginning_alike(self, regex: str) -> list[int] | None:
        """None: any name may match."""
        prefix = _PREFIX.match(regex)
        if prefix is None or "|" in regex:
            return None
        text = prefix[1].replace("\\", "")
        if regex[prefix.end() : prefix.end() + 1] in ("*", "?", "{"):
            text = text[:-1]  # it may be there or not
        if not text:
            return None
        names, places = self._sorted
        first = bisect_left(names, text)
        last = bisect_left(names, text[:-1] + chr(ord(text[-1]) + 1))
        return sorted(places[first:last])

    @cached_property
    def _are_short(self) -> bool:
        return max(map(len, self._names), default=0) <= _MAX_NAME

    @cached_property
    def _sorted(self) -> tuple[list[str], list[int]]:
        places = sorted(range(len(self._names)), key=self._names.__getitem__)
        return [self._names[place] for place in places], places


def _compiled(regex: str) -> re.Pattern[str] | Problem:
    if len(regex) > _MAX_REGEX:
        return Problem(f"the regex has more than {_MAX_REGEX} characters")
    try:
        return re.compile(regex)
    except re.error as error:
        where = "" if error.pos is None else f" at character {error.pos + 1}"
        return Problem(f"bad regex: {error.msg}{where}")
    except (RecursionError, OverflowError):
        return Problem("bad regex: it is nested too deep, or a number in it is too large")


def _search_elsewhere(
    names: Sequence[str], questions: Sequence[tuple[str, list[int] | None]]
) -> list[list[int]]:
    """The answers up to the first regex that takes too long."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", searching.__file__],
        input=json.dumps([names, questions]).encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return [
        json.loads(line) for line in done.stdout.splitlines(keepends=True) if line[-1:] == b"\n"
    ]
