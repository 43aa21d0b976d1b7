"""Jobs that say `for_each` become one job for each element of a value, and so do the files and the
user_data that they name by templates.

A job that says so stays what it is, a gate; its elements come right after it. Without elements,
because there is no value yet or an empty one, it stands for them, and so do such a file and such a
user_data for theirs. With elements, the name of any of them stands for all of its elements.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Generic, Literal, Protocol, TypeVar

import msgspec

from torcd import model
from torcd.spec import elements, making, placeholders
from torcd.spec.elements import Element, ElementCompiler, Elements, NoElements, Unfillable
from torcd.spec.problems import Finding, quoted
from torcd.spec.schema import Entry, FileSpec, JobSpec, UserDataSpec, WorkflowSpec
from torcd.spec.templates import Budget
from torcd.spec.unrolling import PARAMETERS, Item, Unrolled
from torcd.value import Value

Section = Literal["jobs", "files", "user_data"]
Thing = TypeVar("Thing", FileSpec, UserDataSpec)
_Copy = TypeVar("_Copy", covariant=True)

_REFERENCES: dict[Section, tuple[str, ...]] = {
    "files": ("input_files", "output_files"),
    "user_data": ("input_user_data", "output_user_data"),
}


class Copied(Protocol[_Copy]):
    """A section, with the copies of each item together."""

    @property
    def count(self) -> int: ...

    @property
    def origins(self) -> Sequence[int]:
        """For each copy: the place of what it was made from."""
        ...

    @property
    def as_written(self) -> Sequence[_Copy] | None:
        """The items, if there is one copy of each, which is as it was written."""
        ...

    def names(self, kind: str) -> list[str]: ...

    def __iter__(self) -> Iterator[Iterable[_Copy]]: ...


class Listed(Generic[Item]):
    """A section whose copies have been made."""

    def __init__(self, copies: list[list[tuple[str, Item]]]) -> None:
        """Of each item: names and copies."""
        self._copies: list[list[tuple[str, Item]]] = copies
        self.origins: Sequence[int] = [n for n, some in enumerate(copies) for _ in some]
        self.as_written = None

    @property
    def count(self) -> int:
        return len(self.origins)

    def names(self, kind: str) -> list[str]:
        return [name for some in self._copies for name, _ in some]

    def __iter__(self) -> Iterator[Iterable[Item]]:
        return ([item for _, item in some] for some in self._copies)


class Fold(msgspec.Struct, frozen=True):
    """A job that says `for_each`."""

    data: str
    elements: Elements | None
    """None: there is no value yet. They have the places after its own."""

    @property
    def count(self) -> int:
        return 0 if self.elements is None else len(self.elements.items)


class Standing(msgspec.Struct):
    """Of one kind: names that stand for others, by their places."""

    for_several: dict[str, tuple[int, ...]] = {}
    """With elements: these."""
    for_none: list[int] = []
    """Without."""


class Unfolded:
    def __init__(
        self,
        spec: WorkflowSpec,
        jobs: Unrolled[JobSpec],
        files: Unrolled[FileSpec],
        user_data: Unrolled[UserDataSpec],
        values: Mapping[str, Value],
        most: Mapping[Section, int],
    ) -> None:
        """`values`: those of which it is known what they are. `most`: how many there may be."""
        self.findings: list[Finding] = []
        self.folds: dict[int, Fold] = {}
        """By place among the jobs."""
        self.elements: dict[int, tuple[int, Element]] = {}
        """Of each job made for one: the place of the job that says so, and which one."""
        self.standing: dict[model.Kind, Standing] = {
            "job": Standing(),
            "file": Standing(),
            "user_data": Standing(),
        }
        self._values = values
        self._read: dict[str, Elements | None] = {}
        self._most = most
        self._compiler = ElementCompiler(Budget())
        self._owners: dict[Section, dict[str, dict[str, int]]] = {"files": {}, "user_data": {}}
        """Of each template in a name: the values, and the first job that says so."""
        self._check_parameters(spec)
        self.jobs: Listed[JobSpec] = Listed(self._jobs(jobs))
        self.files: Listed[FileSpec] = Listed(self._things("files", "file", files))
        self.user_data: Listed[UserDataSpec] = Listed(
            self._things("user_data", "user_data", user_data)
        )

    def _check_parameters(self, spec: WorkflowSpec) -> None:
        for n, job in enumerate(spec.jobs or ()):
            names = {*(job.parameters or {}), *(job.use_parameters or ())} & elements.NAMES
            if job.for_each is not None and names:
                message = f"{quoted(min(names))} is the name of what for_each fills in"
                self._add("jobs", n, "parameters", message, "give the parameter another name")

    # Jobs

    def _jobs(self, jobs: Unrolled[JobSpec]) -> list[list[tuple[str, JobSpec]]]:
        names = iter(jobs.names("job"))
        made: list[list[tuple[str, JobSpec]]] = []
        place = 0
        for origin, copies in enumerate(jobs):
            some: list[tuple[str, JobSpec]] = []
            for job in copies:
                name, start = next(names), len(some)
                some.append((name, job))
                if job.for_each is not None:
                    some += self._unfold(origin, place, name, job, job.for_each)
                place += len(some) - start
            made.append(some)
        return made

    def _unfold(
        self, origin: int, place: int, name: str, job: JobSpec, data: str
    ) -> Iterable[tuple[str, JobSpec]]:
        if elements.is_in(data):
            message = f"{quoted(data)} is one for each element itself"
            self._add("jobs", origin, "for_each", message, "for_each needs one value")
        fold = self.folds[place] = Fold(data, self._elements(origin, data))
        for section, named in _named_by(job):
            if elements.is_in(named):
                self._owners[section].setdefault(named, {}).setdefault(data, origin)
        if not fold.elements or not fold.count:
            self.standing["job"].for_none.append(place)
            return ()
        if self._are_too_many("jobs", origin, fold.elements):
            return ()
        made = list(self._copies("jobs", origin, job, fold.elements))
        is_named = elements.is_in(name)
        places = range(place + 1, place + 1 + len(made))
        self.standing["job"].for_several[name] = tuple(places)
        for at, element in zip(places, fold.elements.items, strict=False):
            self.elements[at] = place, element
        return [
            (
                (copy.name or "")
                if is_named
                else f"{name}_{element.index}"
                if element.key is None
                else f"{name}_{element.key}",
                copy,
            )
            for copy, element in zip(made, fold.elements.items, strict=False)
        ]

    def _elements(self, origin: int, name: str) -> Elements | None:
        if name not in self._read:
            value = self._values.get(name)
            try:
                self._read[name] = None if value is None else elements.read(name, value)
            except NoElements as error:
                self._add("jobs", origin, "for_each", str(error))
                self._read[name] = None
        return self._read[name]

    # What they make and read

    def _things(
        self, section: Literal["files", "user_data"], kind: model.Kind, things: Unrolled[Thing]
    ) -> list[list[tuple[str, Thing]]]:
        made: list[list[tuple[str, Thing]]] = []
        standing, place = self.standing[kind], 0
        for origin, copies in enumerate(things):
            some: list[tuple[str, Thing]] = []
            for thing in copies:
                start = len(some)
                found = self._elements_of_thing(section, origin, thing.name)
                if found is None:
                    some.append((thing.name, thing))
                elif not found.items:
                    standing.for_none.append(place)
                    some.append((thing.name, thing))
                elif not self._are_too_many(section, origin, found):
                    some += [(c.name, c) for c in self._copies(section, origin, thing, found)]
                    places = range(place, place + len(some) - start)
                    standing.for_several[thing.name] = tuple(places)
                place += len(some) - start
            made.append(some)
        return made

    def _elements_of_thing(
        self, section: Literal["files", "user_data"], origin: int, name: str
    ) -> Elements | None:
        """None: it is one thing."""
        if not elements.is_in(name):
            return None
        owners = self._owners[section].get(name, {})
        if not owners:
            message = f"no job that says for_each names {quoted(name)}, so it is one thing"
            self._add(section, origin, "name", message, severity="warning")
            return None
        if len(owners) > 1:
            one, other, *_ = map(quoted, owners)
            message = f"{quoted(name)} is for each of {one}, and for each of {other}"
            self._add(section, origin, "name", message, "declare one for each of them")
        data = next(iter(owners))
        return self._elements(owners[data], data) or Elements(data, "", ())

    # Copies

    def _copies(self, section: Section, origin: int, item: Item, found: Elements) -> Iterator[Item]:
        """As far as the elements have what is wanted of them."""
        makers = {}
        for field in item.__struct_fields__:
            if field in PARAMETERS or field == "for_each":
                continue
            path = (section, origin, field)
            make = making.maker(self._compiler, getattr(item, field), path, set())
            if make is not None:
                makers[field] = make
        plain = msgspec.structs.replace(item, for_each=None) if section == "jobs" else item
        for element in found.items:
            try:
                fields = {field: make(element) for field, make in makers.items()}
            except Unfillable as problem:
                self.findings.append(problem.finding)
                return
            yield msgspec.structs.replace(plain, **fields)

    def _are_too_many(self, section: Section, origin: int, found: Elements) -> bool:
        if len(found.items) <= self._most[section]:
            return False
        message = (
            f"user_data {quoted(found.name)} has {len(found.items)} elements, and a workflow may "
            f"have {self._most[section]} {section}"
        )
        self._add(section, origin, "for_each" if section == "jobs" else "name", message)
        return True

    def _add(
        self,
        section: Section,
        origin: int,
        field: str,
        message: str,
        hint: str | None = None,
        severity: Literal["error", "warning"] = "error",
    ) -> None:
        self.findings.append(Finding((section, origin, field), message, hint, severity))


def _named_by(job: JobSpec) -> Iterator[tuple[Section, str]]:
    """The files and the user_data that it names."""
    for section, fields in _REFERENCES.items():
        for field in fields:
            for reference in getattr(job, field) or ():
                yield section, reference.name if isinstance(reference, Entry) else reference
    words = (job.command,) if isinstance(job.command, str) else job.command
    for text in (*words, job.invocation_script or ""):
        for one in placeholders.found(text):
            yield one.kind, one.name
