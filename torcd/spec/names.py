"""Names of one kind, their keys, and the nearest of them to one that is not there."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property

from torcd.spec.problems import Finding, Path, nearest, quoted

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
    ) -> None:
        self.kind = kind
        """For messages: `job`."""
        self.section = section
        """The field of the workflow they stand in: `jobs`."""
        self.names = names
        self.first_key = first_key
        self._origins = origins
        """For each name the place in the section of what it was made from."""
        self.keys = {name: key for key, name in enumerate(names, first_key)}
        self._hints = 0

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
