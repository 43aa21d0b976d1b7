"""A spec and all that jobs have added to it: one spec again, expanded as any other is, with
the keys that names have already. So what was there before may find what is added: the regexes of a
job that waits match it, and what it reads may be made by it.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from torcd import model
from torcd.model import Addition, Section
from torcd.spec import expansion as _expansion
from torcd.spec.policies import FailureHandlerSpec, ResourceRequirementsSpec
from torcd.spec.problems import Finding, quoted
from torcd.spec.rekeying import Adder, Known
from torcd.spec.schema import FileSpec, JobSpec, UserDataSpec, WorkflowSpec
from torcd.value import Value

SECTIONS: tuple[Section, ...] = (
    "jobs",
    "files",
    "user_data",
    "resource_requirements",
    "failure_handlers",
)
"""What may be added. And `parameters`, for those that use them."""

_TYPES = {
    "jobs": JobSpec,
    "files": FileSpec,
    "user_data": UserDataSpec,
    "resource_requirements": ResourceRequirementsSpec,
    "failure_handlers": FailureHandlerSpec,
}

ItemSpec = JobSpec | FileSpec | UserDataSpec | ResourceRequirementsSpec | FailureHandlerSpec

By = tuple[model.JobKey, tuple[int, int]]
"""An attempt: of which job, and its run and number."""

Name = tuple[str, str]
"""Section and name."""


class Together(msgspec.Struct, frozen=True):
    """A spec with all that was added to it."""

    spec: WorkflowSpec
    sources: dict[Name, list[Addition]]
    """Of each section's items beyond those of the spec, in their order: under (section, "")."""
    adders: dict[str, model.JobKey]
    """Of the jobs, by name."""
    own: dict[str, int]
    """How many items of each section are the spec's."""


def together(spec: WorkflowSpec, additions: Iterable[Addition]) -> Together:
    fields: dict[str, tuple[ItemSpec, ...]] = {s: getattr(spec, s) or () for s in SECTIONS}
    own = {section: len(items) for section, items in fields.items()}
    known: dict[Name, bytes] = {
        (section, item.name): msgspec.json.encode(item)
        for section, items in fields.items()
        if section != "jobs"
        for item in items
        if item.name is not None
    }
    sources: dict[Name, list[Addition]] = {(section, ""): [] for section in SECTIONS}
    more: dict[str, list[ItemSpec]] = {section: [] for section in SECTIONS}
    adders: dict[str, model.JobKey] = {}
    for one in additions:
        if one.section == "jobs":
            adders[one.name] = one.adder
        elif known.setdefault(one.full_name, one.item) is not one.item and (
            known[one.full_name] == one.item
        ):
            continue
        more[one.section].append(msgspec.json.decode(one.item, type=_TYPES[one.section]))
        sources[one.section, ""].append(one)
    changed = {s: (*fields[s], *items) for s, items in more.items() if items}
    return Together(msgspec.structs.replace(spec, **changed), sources, adders, own)


def expansion(
    spec: WorkflowSpec,
    additions: Sequence[Addition],
    *,
    directory: str,
    known: Known,
    by: By | None = None,
    values: Mapping[str, Value] | None = None,
) -> _expansion.Expansion:
    """The workflow of both, with the keys that it has, and with jobs for the elements of `values`,
    by name. What is wrong is told at its place in a
    call of an attempt, or as what it is: something that was added before, or of the spec."""
    whole = together(spec, additions)
    names = {job.key: job.name for job in known.workflow.jobs}
    adders = {
        one.name: Adder(names[one.adder], one.run_id, one.attempt_id)
        for one in additions
        if one.section == "jobs" and one.adder in names
    }
    found = _expansion.expansion(
        whole.spec,
        directory=directory,
        default_name=known.workflow.name,
        known=msgspec.structs.replace(known, adders=adders),
        values=values,
    )
    findings = [
        _placed(finding, whole, names, by)
        for finding in found.findings
        if finding.severity == "error"
    ]
    return msgspec.structs.replace(found, findings=findings)


def _placed(
    finding: Finding,
    whole: Together,
    names: Mapping[model.JobKey, str],
    by: By | None,
) -> Finding:
    path = finding.path
    if len(path) < 2 or path[0] not in whole.own or not isinstance(path[1], int):
        return finding
    place = path[1] - whole.own[path[0]]
    if place < 0:
        if by is None:
            return finding
        return msgspec.structs.replace(finding, path=("workflow", *path))
    one = whole.sources[path[0], ""][place]
    if by is not None and one.is_of(*by) and path[2:] == ("name",):
        # It is fit for a name, and there once in the call: that was looked at before.
        said = f"the workflow has {quoted(one.name)} already, and not from this job"
        path = (path[0], one.place, "name")
        return msgspec.structs.replace(finding, path=path, message=said)
    if by is not None and one.is_of(*by):
        return msgspec.structs.replace(finding, path=(path[0], one.place, *path[2:]))
    who = quoted(names.get(one.adder, ""))
    what = f"{one.section}: {quoted(one.name)}, which {who} has added"
    return msgspec.structs.replace(finding, path=(), message=f"{what}: {finding.message}")
