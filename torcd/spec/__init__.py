"""A spec file becomes a workflow, and a Python program makes specs.

For programs there are the structs (`WorkflowSpec` and what it is made of: all that is in `__all__`
is public), `to_json` for values in them, `map_function`, which makes jobs of a Python function, and
`dump`, which writes a spec as a file. `torcd.client.Client.submit` takes a `WorkflowSpec` as it is.

The client reads: `read` makes of a file's bytes the struct `WorkflowSpec` and tells every problem
at its line. The struct crosses the wire as JSON; the daemon trusts nothing of it and checks again:
`expand` makes of it the `model.Workflow` that is submitted. Importing this package brings in no
parser; a format's own is imported when a file of that format is read.
"""

from collections.abc import Mapping, Sequence

import msgspec

from torcd import model
from torcd.errors import InvalidSpec
from torcd.spec import adding, together
from torcd.spec import expansion as _expansion
from torcd.spec import structure as _structure
from torcd.spec.document import MAX_BYTES, Document, all_findings, default_name, read
from torcd.spec.dumping import dump
from torcd.spec.mapping import Mapped, map_function, to_json
from torcd.spec.planned import Plan
from torcd.spec.planning import plan as _plan
from torcd.spec.policies import (
    ActionSpec,
    FailureHandlerSpec,
    FailureRuleSpec,
    ResourceRequirementsSpec,
)
from torcd.spec.problems import Problem, invalid, most_important, problems
from torcd.spec.rekeying import Known
from torcd.spec.schema import Entry, FileSpec, JobSpec, UserDataSpec, WorkflowSpec
from torcd.value import Value

__all__ = [
    "MAX_BYTES",
    "ActionSpec",
    "Document",
    "Entry",
    "FailureHandlerSpec",
    "FailureRuleSpec",
    "FileSpec",
    "JobSpec",
    "Known",
    "Mapped",
    "Problem",
    "ResourceRequirementsSpec",
    "UserDataSpec",
    "WorkflowSpec",
    "check",
    "decode",
    "default_name",
    "dump",
    "expand",
    "expand_with",
    "map_function",
    "plan",
    "read",
    "to_json",
]


def check(spec: WorkflowSpec, *, file: str = "") -> list[Problem]:
    """Everything wrong or doubtful about a spec, by path, without lines."""
    found = _expansion.expansion(spec, directory="/", default_name=default_name(file or "-"))
    return problems(most_important(found.findings), file=file, positions={})


def decode(text: bytes | msgspec.Raw) -> WorkflowSpec:
    """The struct of a spec that came as JSON: from another process, or over the wire.

    Raises InvalidSpec with all problems, unless all types are right: then `expand` finds them.
    """
    try:
        try:
            return msgspec.json.decode(text, type=WorkflowSpec)
        except msgspec.ValidationError:
            decoded = _structure.decode(msgspec.json.decode(text))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidSpec(f"the spec is not understood: {error}", problems=[]) from None
    found = all_findings(decoded, "workflow")
    errors = [finding for finding in found if finding.severity == "error"]
    worst = most_important(errors)
    raise invalid(problems(worst, file="", positions={}), more=len(errors) - len(worst))


def expand(
    spec: WorkflowSpec,
    *,
    directory: str,
    default_name: str,
    first_key: int = 0,
    max_jobs: int = _expansion.MAX_JOBS,
    known: Known | None = None,
    values: Mapping[str, Value] | None = None,
) -> model.Workflow:
    """As `expand_doubting`, the workflow alone."""
    return expand_doubting(
        spec,
        directory=directory,
        default_name=default_name,
        first_key=first_key,
        max_jobs=max_jobs,
        known=known,
        values=values,
    )[0]


def expand_doubting(
    spec: WorkflowSpec,
    *,
    directory: str,
    default_name: str,
    first_key: int = 0,
    max_jobs: int = _expansion.MAX_JOBS,
    known: Known | None = None,
    values: Mapping[str, Value] | None = None,
) -> tuple[model.Workflow, int]:
    """The workflow of a spec, with keys from `first_key` on: itself, jobs, files, user_data; or,
    as an edit of a workflow that is known, with that one's keys and new ones for what is new.
    There are jobs for the elements of `values`, by name, and of those that the spec gives besides
    and no job makes.

    `directory` is absolute: where relative paths are taken from. Besides, how many warnings there
    are. Raises InvalidSpec with all problems.
    """
    expanded = _right(
        _expansion.expansion(
            spec,
            directory=directory,
            default_name=default_name,
            first_key=first_key,
            max_jobs=max_jobs,
            known=known,
            values=values,
        )
    )
    return expanded.workflow, len(expanded.findings)


def expand_with(
    spec: WorkflowSpec,
    additions: Sequence[model.Addition],
    *,
    directory: str,
    known: Known,
    by: tuple[model.JobKey, tuple[int, int]] | None = None,
    call: adding.Unrolling | None = None,
    most: int = model.MAX_DYNAMIC_JOBS,
    values: Mapping[str, Value] | None = None,
) -> model.Workflow:
    """The workflow of a spec and of what its jobs have added (`adding`). `call` is what an attempt
    `by` run and number, of a job, adds now, and `most` how many may be added; what is wrong is told
    at its place in that. `values` are as of `expand`. Raises InvalidSpec with all problems."""
    found = together.expansion(
        spec, additions, directory=directory, known=known, by=by, values=values
    )
    if by is not None and call is not None:
        findings = [*call.findings, *adding.too_many(additions, *by, most=most)]
        told = {finding.path for finding in findings}
        more = [f for f in found.findings if f.path not in told and not call.explains(f)]
        found = msgspec.structs.replace(found, findings=[*findings, *more])
    return _right(found).workflow


def plan(spec: WorkflowSpec, *, directory: str, default_name: str) -> Plan:
    """What it would run, in which order, and why each job waits. Raises as `expand` does."""
    found = _right(_expansion.expansion(spec, directory=directory, default_name=default_name))
    return _plan(found.workflow, found.matches)


def _right(expanded: _expansion.Expansion) -> _expansion.Expansion:
    errors = [finding for finding in expanded.findings if finding.severity == "error"]
    if errors:
        worst = most_important(errors)
        raise invalid(problems(worst, file="", positions={}), more=len(errors) - len(worst))
    return expanded
