"""Names of one kind, their keys, and the nearest of them to one that is not there."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from torcd.spec.elements import is_in, samples
from torcd.spec.problems import Finding, Path, nearest, quoted

if TYPE_CHECKING:
    from torcd.spec.unfolding import Standing

_BAD_IN_NAME = re.compile(r"[\0\r\n]")

_MAX_COMPARED = 500
"""Comparing is slow: of more names only those that begin or end alike are looked at."""
_MAX_HINTS = 200
"""How many unknown names get one; a spec with more is wrong in some other way."""


class Namespace:
    """Jobs, files or user_data, and the keys they get in the order of the spec."""

    def __init__(
        self,
        kind: str,
        section: str,
        names: Sequence[str],
        first_key: int,
        origins: Sequence[int],
        standing: "Standing | None" = None,
    ) -> None:
        """`standing`: names among them that stand for others, see `unfolding`."""
        self.kind = kind
        """For messages: `job`."""
        self.section = section
        """The field of the workflow they stand in: `jobs`."""
        self.names = names
        self.first_key = first_key
        self._origins = origins
        """For each name the place in the section of what it was made from."""
        self.keys = {name: key for key, name in enumerate(names, first_key)}
        self._several: Mapping[str, tuple[int, ...]] = {}
        self._for_none: Mapping[int, str] = {}
        if standing is not None:
            self._several = standing.for_several
            self._for_none = {place: names[place] for place in standing.for_none}
        self.unfolded_origins = {
            origins[place] for places in self._several.values() for place in places[:1]
        }
        self._hints = 0

    def find(self, name: str) -> tuple[int, ...] | None:
        """The keys of what a name stands for; None: there is no such name."""
        if name in self._several:
            return tuple([self.first_key + place for place in self._several[name]])
        key = self.keys.get(name)
        return None if key is None else (key,)

    def find_plain(self, names: Sequence[object]) -> dict[int, None] | None:
        """The keys in this order, if all of them are plain names, known, of one thing each, and
        there once; None: they are to be looked at one by one."""
        if self._several:
            return None
        try:
            # What is no text is none of the keys.
            keys = dict.fromkeys([self.keys[name] for name in names])  # type: ignore[index]
        except KeyError:
            return None
        return keys if len(keys) == len(names) else None

    def stands_for_elements(self, name: str) -> bool:
        """Those that there are, or those that there will be."""
        return name in self._several or name in self._for_none.values()

    @cached_property
    def searched(self) -> Sequence[str]:
        """The names that regexes are searched for in: also such as elements may have."""
        if not self._for_none:
            return self.names
        return [*self.names, *(name for _, name in self._samples)]

    @cached_property
    def _samples(self) -> list[tuple[int, str]]:
        return [
            (place, sample)
            for place, name in self._for_none.items()
            for sample in samples(name if is_in(name) else name + "_{item}")
        ]

    def keys_at(self, places: Iterable[int]) -> tuple[int, ...]:
        """The keys of what the names at these places of `searched` stand for."""
        found: set[int] = set()
        for place in places:
            if place >= len(self.names):
                found.add(self._samples[place - len(self.names)][0])
            elif self._several:
                found.update(self._several.get(self.names[place], (place,)))
            else:
                found.add(place)
        return tuple([self.first_key + place for place in sorted(found)])

    def unknown(self, name: str, path: Path) -> Finding:
        """The finding for a name that is not among them."""
        hint = None
        if self._hints < _MAX_HINTS:
            self._hints += 1
            hint = nearest(name, self._candidates(name))
        if hint is None and self.section != "jobs":
            hint = f"declare it in `{self.section}`"
        message = f"unknown {self.kind} {quoted(name)}"
        return Finding(path, message, hint, namespace=self.section, name=name)

    def findings(self) -> list[Finding]:
        """Names that cannot be one, and names that are there twice."""
        bad: dict[Path, Finding] = {}
        if not all(self.names) or _BAD_IN_NAME.search("".join(self.names)):
            for origin, name in zip(self._origins, self.names, strict=True):
                path = self.section, origin, "name"
                finding = check_name(name, path)
                if finding:
                    bad.setdefault(path, finding)
        if len(self.keys) < len(self.names):
            first: dict[str, int] = {}
            for origin, name in zip(self._origins, self.names, strict=True):
                path = self.section, origin, "name"
                if name not in first:
                    first[name] = origin
                elif path not in bad:
                    bad[path] = self._is_twice(name, path, first[name], origin)
        return list(bad.values())

    def _is_twice(self, name: str, path: Path, first: int, origin: int) -> Finding:
        if first == origin:
            if origin in self.unfolded_origins:
                message = f"the elements make the name {quoted(name)} more than once"
                return Finding(path, message, "put {index} into the name")
            message = f"the parameters make the name {quoted(name)} more than once"
            return Finding(path, message, "put all of them into the name")
        message = f"{self.kind} {quoted(name)} is already at {self.section}[{first}]"
        return Finding(path, message, "give it a name of its own")

    def _candidates(self, name: str) -> Sequence[str]:
        if len(self.names) <= _MAX_COMPARED:
            return self.names
        around = _MAX_COMPARED // 4
        place = bisect_left(self._sorted, name)
        backwards = name[::-1]
        other = bisect_left(self._sorted_backwards, backwards)
        return [
            *self._sorted[max(place - around, 0) : place + around],
            *(n[::-1] for n in self._sorted_backwards[max(other - around, 0) : other + around]),
        ]

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self.names)

    @cached_property
    def _sorted_backwards(self) -> list[str]:
        return sorted(name[::-1] for name in self.names)


def check_name(name: str, path: Path) -> Finding | None:
    if not name:
        return Finding(path, "the name is empty")
    if _BAD_IN_NAME.search(name):
        return Finding(path, f"the name {quoted(name)} has a line break or a NUL")
    return None
