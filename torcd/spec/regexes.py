"""The `…_regexes` fields of jobs: what each has found, and what jobs share of it.

A regex stands for the names it is found in, as a name may stand for several elements. Where several
jobs have found the same things, they get one group between them (`model.Group`) in place of a list
each; what a single job has found, and what jobs make, goes into the job's own lists.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Literal

import msgspec

from torcd import model
from torcd.spec.matching import Names, Problem
from torcd.spec.names import Namespace
from torcd.spec.problems import Finding, Path, quoted
from torcd.spec.schema import JobSpec
from torcd.spec.unrolling import said_once

MAX_FOUND = 5_000_000
"""Names in the lists of all jobs and groups together that regexes may have found."""

_MIN_SAVED = 64
"""Pairs of a job and a thing; fewer are not worth a group."""

Listing = Literal[
    "depends_on", "input_files", "output_files", "input_user_data", "output_user_data"
]

FIELDS: dict[str, tuple[model.Kind, Listing]] = {
    "depends_on_regexes": ("job", "depends_on"),
    "blocked_by_regexes": ("job", "depends_on"),
    "input_file_regexes": ("file", "input_files"),
    "output_file_regexes": ("file", "output_files"),
    "input_user_data_regexes": ("user_data", "input_user_data"),
    "output_user_data_regexes": ("user_data", "output_user_data"),
}
"""What the names in it are of, and the list that it adds to."""

_all_regexes = attrgetter(*FIELDS)

Inputs = Literal["depends_on", "input_files", "input_user_data"]

_LISTS: dict[str, tuple[model.Kind, Listing]] = {
    "depends_on": ("job", "depends_on"),
    "input_files": ("file", "input_files"),
    "input_user_data": ("user_data", "input_user_data"),
}
_ADDS = FIELDS | _LISTS

_NEW_NAMES = {"blocked_by_regexes": "depends_on_regexes"}


class _Use(msgspec.Struct, frozen=True, gc=False):
    job: int
    """Its place among all jobs."""
    origin: int
    """The place of what it was made from."""
    field: str
    regexes: tuple[str, ...]
    """None, if a name stands for several."""
    several: tuple[int, ...] = ()


class Found(msgspec.Struct):
    """A set of things, and how many jobs wait for all of it. Equal sets are one object."""

    kind: model.Kind
    keys: tuple[int, ...]
    waiting: int = 0
    group: model.GroupKey | None = None


class Match(msgspec.Struct, frozen=True, gc=False):
    """What the regexes of a field of a job have found."""

    job: int
    """Its place among all jobs."""
    field: str
    """By its new name, if it was written by an old one; or, of a name that stands for several, the
    list that it is in."""
    regexes: tuple[str, ...]
    """None for such a name."""
    found: Found
    named: int
    """How many of the things in the list that the field adds to the job names itself; they come
    first."""


class Resolved(msgspec.Struct, frozen=True):
    jobs: tuple[model.Job, ...]
    groups: tuple[model.Group, ...]
    findings: list[Finding]
    matches: tuple[Match, ...]


class Regexes:
    """Takes down what jobs say, and resolves it when all names are known."""

    def __init__(self, namespaces: Mapping[model.Kind, Namespace]) -> None:
        self._namespaces = namespaces
        self._uses: list[_Use] = []
        self._found: dict[tuple[model.Kind, tuple[str, ...]], Found] = {}
        self._equal: dict[tuple[model.Kind, tuple[int, ...]], Found] = {}

    def add(self, n: int, origin: int, job: JobSpec) -> bool:
        """Whether it has any."""
        if not any(_all_regexes(job)):
            return False
        for field in FIELDS:
            regexes: tuple[str, ...] | None = getattr(job, field)
            if regexes:
                self._uses.append(_Use(n, origin, field, regexes))
        return True

    def add_several(self, n: int, origin: int, field: Inputs, keys: tuple[int, ...]) -> None:
        """A name in one of its lists stands for all of these."""
        self._uses.append(_Use(n, origin, field, (), keys))

    def resolve(self, jobs: Sequence[model.Job], first_group: int) -> Resolved:
        """The jobs with what their regexes have found, and the groups, with keys from
        `first_group` on."""
        if not self._uses:
            return Resolved(tuple(jobs), (), [], ())
        findings = self._search()
        for use in self._uses:
            if not _ADDS[use.field][1].startswith("output"):
                self._of(use).waiting += 1
        groups: list[model.Group] = []
        for found in self._equal.values():
            if found.waiting > 1 and found.waiting * len(found.keys) >= _MIN_SAVED:
                found.group = model.GroupKey(first_group + len(groups))
                groups.append(model.Group(key=found.group, kind=found.kind, members=found.keys))
        total = sum(len(group.members) for group in groups)
        total += sum(len(found.keys) for found in map(self._of, self._uses) if not found.group)
        if total > MAX_FOUND:
            first = self._uses[0]
            message = f"the regexes of all jobs find {total} names, and may find {MAX_FOUND}"
            hint = "let one job wait for many, and the others for that one"
            findings.append(Finding(("jobs", first.origin, first.field), message, hint))
            return Resolved(tuple(jobs), (), findings, ())
        matches: list[Match] = []
        made = list(jobs)
        for use in self._uses:
            job = made[use.job]
            named = len(getattr(job, _ADDS[use.field][1]))
            field = _NEW_NAMES.get(use.field, use.field)
            if not use.several or self._of(use).group is not None:
                matches.append(Match(use.job, field, use.regexes, self._of(use), named))
            made[use.job] = self._with_found(job, use)
        return Resolved(tuple(made), tuple(groups), findings, tuple(matches))

    def _with_found(self, job: model.Job, use: _Use) -> model.Job:
        found = self._of(use)
        listing = _ADDS[use.field][1]
        if found.group is not None and not listing.startswith("output"):
            return msgspec.structs.replace(job, awaits=(*job.awaits, found.group))
        own: tuple[int, ...] = getattr(job, listing)
        together = tuple(dict.fromkeys((*own, *found.keys))) if own else found.keys
        return msgspec.structs.replace(job, **{listing: together})

    def _of(self, use: _Use) -> Found:
        kind = _ADDS[use.field][0]
        if not use.several:
            return self._found[kind, use.regexes]
        return self._equal.setdefault((kind, use.several), Found(kind, use.several))

    def _search(self) -> list[Finding]:
        """Fill in what each set of regexes has found. Equal sets are one."""
        answers = {}
        for kind, namespace in self._namespaces.items():
            asked = [
                regex for use in self._uses if _ADDS[use.field][0] == kind for regex in use.regexes
            ]
            if asked:
                answers[kind] = Names(namespace.searched).search(asked)
        findings: list[Finding] = []
        for use in self._uses:
            kind = _ADDS[use.field][0]
            namespace = self._namespaces[kind]
            places: set[int] = set()
            for n, regex in enumerate(use.regexes):
                answer = answers[kind][regex]
                path: Path = ("jobs", use.origin, use.field, n)
                if isinstance(answer, Problem):
                    findings.append(Finding(path, f"{quoted(regex)}: {answer.message}"))
                elif answer:
                    places.update(answer)
                else:
                    message = f"{quoted(regex)} is found in no name of a {namespace.kind}"
                    findings.append(
                        Finding(path, message, None, "warning", namespace=namespace.section)
                    )
            if (kind, use.regexes) not in self._found:
                keys = namespace.keys_at(places)
                found = self._equal.setdefault((kind, keys), Found(kind, keys))
                self._found[kind, use.regexes] = found
        return said_once(findings)
