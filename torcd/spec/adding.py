"""What jobs add to their workflow while they run: item by item, and for how long.

What is added is kept item by item, without parameters and with absolute paths, beside the spec that
somebody submitted. The two are expanded as one (`together`).

Two jobs may add the same file, value, requirement or handler, if it is the same in all its fields,
and so may one that the spec has. A job is added by one.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import cast

import msgspec

from torcd import model
from torcd.model import Addition, Section
from torcd.spec.expansion import Expansion
from torcd.spec.names import check_name
from torcd.spec.parameters import Reader
from torcd.spec.problems import Finding, Path, quoted
from torcd.spec.rekeying import Known
from torcd.spec.schema import FileSpec, JobSpec, UserDataSpec, WorkflowSpec
from torcd.spec.templates import Budget
from torcd.spec.together import SECTIONS, ItemSpec, Name, expansion
from torcd.spec.unrolling import Item, Unrolled
from torcd.value import Value


class Unrolling(msgspec.Struct, frozen=True):
    """What a call adds, item by item, and what is wrong with it as it stands."""

    items: list[tuple[Section, int, ItemSpec]]
    """Each with the place in its section that it was made from."""
    findings: list[Finding]
    sections: tuple[Unrolled[JobSpec], Unrolled[FileSpec], Unrolled[UserDataSpec]]

    def explains(self, finding: Finding) -> bool:
        """Whether a name is unknown perhaps only since wrong parameters made none."""
        jobs, files, user_data = self.sections
        match finding.namespace:
            case "jobs":
                return jobs.may_miss(finding.name)
            case "files":
                return files.may_miss(finding.name)
            case "user_data":
                return user_data.may_miss(finding.name)
            case _:
                return False


def unroll(spec: WorkflowSpec, *, directory: str | None = None) -> Unrolling:
    """The items of a spec of what is to be added, each by itself. `directory`: where its relative
    paths are taken from, and where its jobs run; None: as those of the workflow."""
    findings = [
        Finding((field,), f"a job cannot change the `{field}` of its workflow")
        for field in WorkflowSpec.__struct_fields__
        if field not in (*SECTIONS, "parameters")
        and getattr(spec, field) not in (None, msgspec.UNSET)
    ]
    if not any(getattr(spec, section) for section in SECTIONS):
        findings.append(Finding((), "there is nothing to add", 'write jobs: [{name: "…", …}]'))
    reader, budget = Reader(spec.parameters), Budget()
    jobs = Unrolled("jobs", spec.jobs or (), reader, budget)
    files = Unrolled("files", spec.files or (), reader, budget)
    user_data = Unrolled("user_data", spec.user_data or (), reader, budget)
    findings += [*reader.findings, *jobs.findings, *files.findings, *user_data.findings]
    items: list[tuple[Section, int, ItemSpec]] = []
    where = None if directory is None else PurePosixPath(directory)
    for n, job in _each(jobs):
        if job.name is None:
            hint = "the next run knows it by its name"
            findings.append(Finding(("jobs", n), "a job that is added needs a name", hint))
        items.append(("jobs", n, _job_in(where, job)))
    items += [("files", n, _file_in(where, file)) for n, file in _each(files)]
    items += [("user_data", n, data) for n, data in _each(user_data)]
    for section in ("resource_requirements", "failure_handlers"):
        plain = cast("Sequence[ItemSpec]", getattr(spec, section) or ())
        items += [(section, n, item) for n, item in enumerate(plain)]
    findings += _wrong_names(items)
    return Unrolling(items, findings, (jobs, files, user_data))


def _each(section: Unrolled[Item]) -> Iterable[tuple[int, Item]]:
    return ((n, copy) for n, copies in enumerate(section) for copy in copies)


def _job_in(where: PurePosixPath | None, job: JobSpec) -> JobSpec:
    if where is None:
        return job
    return msgspec.structs.replace(job, cwd=str(where / (job.cwd or "")))


def _file_in(where: PurePosixPath | None, file: FileSpec) -> FileSpec:
    return file if where is None else msgspec.structs.replace(file, path=str(where / file.path))


def _wrong_names(items: Iterable[tuple[Section, int, ItemSpec]]) -> list[Finding]:
    first: dict[tuple[str, str | None], int] = {}
    findings: dict[Path, Finding] = {}
    for section, n, item in items:
        if item.name is None:
            continue
        path: Path = (section, n, "name")
        wrong = check_name(item.name, path)
        if wrong is not None:
            findings.setdefault(path, wrong)
        if (section, item.name) in first:
            before = f"{section}[{first[section, item.name]}]"
            message = f"{quoted(item.name)} is already at {before}"
            findings.setdefault(path, Finding(path, message, "give it a name of its own"))
        first.setdefault((section, item.name), n)
    return list(findings.values())


def merged(
    before: Sequence[Addition], adder: model.JobKey, attempt: tuple[int, int], unrolled: Unrolling
) -> list[Addition]:
    """All that was added, with what an attempt of a job adds now, or says again."""
    run_id, attempt_id = attempt
    new = {
        (str(section), item.name): Addition(
            adder=adder,
            run_id=run_id,
            attempt_id=attempt_id,
            section=section,
            name=item.name,
            item=msgspec.json.encode(item),
            place=n,
        )
        for section, n, item in unrolled.items
        if item.name is not None
    }
    found = []
    for one in before:
        again = new.pop(one.full_name, None) if one.adder == adder else None
        found.append(one if again is None else again)
    return [*found, *new.values()]


def that_stay(
    spec: WorkflowSpec, additions: Sequence[Addition], workflow: model.Workflow
) -> tuple[Addition, ...]:
    """Of what was added to a workflow: what is still added to it by another spec. What that has
    itself is its own from now on; and who is gone has added nothing."""
    own = named_by(spec)
    names = {job.key: job.name for job in workflow.jobs}
    there = {name for section, name in own if section == "jobs"}
    there |= {
        job.name for job in workflow.jobs if job.element and names.get(job.element.of) in there
    }
    gone = {key for key, name in names.items() if name not in there}
    adders = {one.name: one.adder for one in additions if one.section == "jobs"}

    def is_there(adder: model.JobKey) -> bool:
        """Adders that were added themselves stand or fall with theirs."""
        while adder in gone:
            name = names[adder]
            if name not in adders:
                return False
            adder = adders[name]
        return adder in names

    return tuple(one for one in additions if one.full_name not in own and is_there(one.adder))


def named_by(spec: WorkflowSpec) -> set[Name]:
    """All names that a spec gives to things which jobs may add."""
    reader, budget = Reader(spec.parameters), Budget()
    found: set[Name] = set()
    jobs = Unrolled("jobs", spec.jobs or (), reader, budget)
    files = Unrolled("files", spec.files or (), reader, budget)
    user_data = Unrolled("user_data", spec.user_data or (), reader, budget)
    found.update(("jobs", name) for name in jobs.names("job"))
    found.update(("files", name) for name in files.names("file"))
    found.update(("user_data", name) for name in user_data.names("user_data"))
    found.update(("resource_requirements", r.name) for r in spec.resource_requirements or ())
    found.update(("failure_handlers", h.name) for h in spec.failure_handlers or ())
    return found


class Left(msgspec.Struct, frozen=True):
    """What is left when an adder has not said some of it again."""

    additions: list[Addition]
    expanded: Expansion


def without_earlier(
    spec: WorkflowSpec,
    additions: Sequence[Addition],
    adder: model.JobKey,
    attempt: tuple[int, int],
    *,
    kept: frozenset[str],
    directory: str,
    known: Known,
    values: Mapping[str, Value] | None = None,
) -> Left | None:
    """Without what earlier attempts of the adder have added, but for the jobs that are `kept` and
    for what anything else names. None: nothing is removed."""
    earlier = {
        one.full_name for one in additions if one.adder == adder and not one.is_of(adder, attempt)
    }
    to_drop = earlier - {("jobs", name) for name in kept}
    while to_drop:
        left = [o for o in additions if o.adder != adder or o.full_name not in to_drop]
        expanded = expansion(spec, left, directory=directory, known=known, values=values)
        if not expanded.findings:
            return Left(left, expanded)
        named = {(f.namespace or "", f.name or "") for f in expanded.findings}
        if not named & to_drop:
            return None
        to_drop -= named
    return None


def too_many(
    additions: Iterable[Addition],
    adder: model.JobKey,
    attempt: tuple[int, int],
    *,
    most: int,
) -> list[Finding]:
    """Whether there are more jobs than may be added. What earlier attempts of the adder have added
    may yet be removed, and counts by itself; it has a bound since attempts that fail, one after the
    other, each with other names, would fill the disk."""
    jobs = [one for one in additions if one.section == "jobs"]
    earlier = sum(1 for one in jobs if one.adder == adder and not one.is_of(adder, attempt))
    count = len(jobs) - earlier
    if count <= most and earlier <= most:
        return []
    message = f"with these, {count} jobs would have been added, and max_dynamic_jobs is {most}"
    if count <= most:
        message = (
            f"earlier attempts have added {earlier} jobs that are not added again, and "
            f"max_dynamic_jobs is {most}"
        )
    return [Finding(("jobs",), message, "add fewer, or set max_dynamic_jobs in the spec")]
