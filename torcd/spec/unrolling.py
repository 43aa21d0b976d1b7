"""Items with parameters become one item for each combination of values, in the order written.

A parameter that a named job has in nothing but its lists of references does not make it several:
the job refers to what all values of it stand for. That is what such a job says in torc's examples,
where `report_{dataset}` waits for `analyze_{dataset}_{kind}` of each kind.

Names are put together first, since everything refers to them; the rest of an item is made when it
is asked for, so that a million jobs are not kept twice.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar, cast

import msgspec

from torcd.spec import making
from torcd.spec.parameters import Combinations, Reader
from torcd.spec.problems import Finding, Path
from torcd.spec.schema import FileSpec, JobSpec, UserDataSpec
from torcd.spec.templates import Budget, Compiler

Maker = making.Maker[Sequence[int]]
"""A field's value for a combination."""

PARAMETERS = frozenset({"parameters", "parameter_mode", "use_parameters"})
_REFERENCES = making.REGEXES | {
    "depends_on",
    "blocked_by",
    "input_files",
    "output_files",
    "input_user_data",
    "output_user_data",
}
_NUMBERED = re.compile(r"job_\d+")
"""What jobs without a name are called: by their place, which jobs before them shift."""

_MAX_COMPARED = 100
"""A spec with more wrong parameters is told first of these, and then of its unknown names."""

Item = TypeVar("Item", JobSpec, FileSpec, UserDataSpec)


class _Source(msgspec.Struct, Generic[Item]):
    """An item as written, and what is made of it."""

    item: Item
    count: int = 1
    combinations: Combinations | None = None
    makers: dict[str, Maker] = {}
    """Of the fields that parameters are in."""
    gathered: list[list[tuple[int, ...]]] | None = None
    """Of each copy the combinations that its references are for, where these are several."""

    def copies(self) -> Iterable[Item]:
        if self.combinations is None:
            return (self.item,)
        return self._combined(self.combinations)

    def _combined(self, combinations: Combinations) -> Iterator[Item]:
        makers = self.makers.items()
        plain = _without_parameters(self.item)
        for several in self.gathered or ():
            fields = {
                field: _together(make, several) if field in _REFERENCES else make(several[0])
                for field, make in makers
            }
            yield msgspec.structs.replace(plain, **fields)
        if self.gathered is not None:
            return
        for indexes in combinations.indexes():
            yield msgspec.structs.replace(plain, **{field: make(indexes) for field, make in makers})

    def names(self) -> Iterable[str | None]:
        if self.combinations is None or "name" not in self.makers:
            return [self.item.name] * self.count
        make = self.makers["name"]
        if self.gathered is not None:
            return [str(make(several[0])) for several in self.gathered]
        return [str(make(indexes)) for indexes in self.combinations.indexes()]


class Unrolled(Generic[Item]):
    """The items of one section, each copy with the place of what it was made from."""

    def __init__(self, section: str, items: Sequence[Item], reader: Reader, budget: Budget) -> None:
        self.findings: list[Finding] = []
        self._is_whole = True
        """Whether all parameters were right, so that no name is missing."""
        self._missing: set[tuple[str, str]] = set()
        """How the names begin and end that wrong parameters have kept from being made."""
        self._sources: list[_Source[Item]] = [
            self._source(item, (section, n), reader, budget) for n, item in enumerate(items)
        ]
        self.count: int = sum(source.count for source in self._sources)
        has_copies = any(source.combinations is not None for source in self._sources)
        self.as_written: Sequence[Item] | None = None if has_copies else items
        """The items, if there is one copy of each, which is as it was written."""

    def names(self, kind: str) -> list[str]:
        """What has none is called by its kind and its place."""
        names = (name for source in self._sources for name in source.names())
        return _together_in_memory(
            [f"{kind}_{n}" if name is None else name for n, name in enumerate(names, 1)]
        )

    @property
    def origins(self) -> Sequence[int]:
        """For each copy: the place of what it was made from."""
        if self.count == len(self._sources):
            return range(self.count)
        return [n for n, source in enumerate(self._sources) for _ in range(source.count)]

    def may_miss(self, name: str | None) -> bool:
        """Whether the name might be there if all parameters were right; None: whether any might."""
        if self._is_whole:
            return False
        if name is None or len(self._missing) > _MAX_COMPARED or _NUMBERED.fullmatch(name):
            return True
        return any(name.startswith(start) and name.endswith(end) for start, end in self._missing)

    def _miss(self, item: Item) -> None:
        self._is_whole = False
        if item.name and "{" in item.name:
            self._missing.add((item.name.partition("{")[0], item.name.rpartition("}")[2]))

    def __iter__(self) -> Iterator[Iterable[Item]]:
        """The copies of each item."""
        return (source.copies() for source in self._sources)

    def _source(self, item: Item, path: Path, reader: Reader, budget: Budget) -> _Source[Item]:
        if item.parameters is None and item.use_parameters is None:
            return _Source(item)
        combinations = reader.combinations(
            path, item.parameters, item.use_parameters, item.parameter_mode
        )
        if combinations is None:
            self._miss(item)
            return _Source(item)
        compiler = Compiler(combinations, budget)
        makers: dict[str, Maker] = {}
        used_in_references: set[int] = set()
        used_outside: set[int] = set()
        for field in item.__struct_fields__:
            if field in PARAMETERS:
                continue
            used = used_in_references if field in _REFERENCES else used_outside
            make = making.maker(compiler, getattr(item, field), (*path, field), used)
            if make is not None:
                makers[field] = make
        if compiler.findings:
            self._miss(item)
            self.findings += compiler.findings
            return _Source(item)
        all_are_used = len(used_in_references | used_outside) == len(combinations.names)
        if item.name and all_are_used and not used_in_references <= used_outside:
            gathered = _gathered(combinations, sorted(used_outside))
            return _Source(item, len(gathered), combinations, makers, gathered)
        return _Source(item, combinations.count, combinations, makers)


def _together_in_memory(names: list[str]) -> list[str]:
    """The same names, made anew. They stay for as long as the workflow does, and in between those
    of the spec are all that refer to them: texts of the same size, which are gone when it has been
    read, and would leave memory in pieces that are of no use."""
    anew = "\0".join(names).split("\0")
    return anew if len(anew) == len(names) else names  # one has a NUL, which is found elsewhere


def said_once(findings: Sequence[Finding]) -> list[Finding]:
    """Of findings of copies of one item: the first at each place, and how many more there are."""
    first: dict[Path, Finding] = {}
    counts: dict[Path, int] = {}
    for finding in findings:
        first.setdefault(finding.path, finding)
        counts[finding.path] = counts.get(finding.path, 0) + 1
    return [
        msgspec.structs.replace(finding, message=f"{finding.message}, and {more} more like it")
        if (more := counts[path] - 1)
        else finding
        for path, finding in first.items()
    ]


def _without_parameters(item: Item) -> Item:
    return msgspec.structs.replace(item, parameters=None, parameter_mode=None, use_parameters=None)


def _gathered(combinations: Combinations, places: Sequence[int]) -> list[list[tuple[int, ...]]]:
    """The combinations, those together that agree in the parameters at these places."""
    found: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for indexes in combinations.indexes():
        found.setdefault(tuple([indexes[place] for place in places]), []).append(indexes)
    return list(found.values())


def _together(make: Maker, several: Sequence[tuple[int, ...]]) -> object:
    """The entries of a list for all these combinations, each once, in the order of the list."""
    copies = cast("list[tuple[object, ...]]", [make(indexes) for indexes in several])
    return tuple(dict.fromkeys(entry for entries in zip(*copies, strict=True) for entry in entries))
