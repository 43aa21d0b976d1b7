"""A spec file becomes a workflow.

The client reads: `read` makes of a file's bytes the struct `WorkflowSpec` and tells every problem
at its line. The struct crosses the wire as JSON; the daemon trusts nothing of it and checks again:
`expand` makes of it the `model.Workflow` that is submitted. Importing this package brings in no
parser; a format's own is imported when a file of that format is read.
"""

from torcd import model
from torcd.spec import expansion as _expansion
from torcd.spec.document import MAX_BYTES, Document, default_name, read
from torcd.spec.planned import Plan
from torcd.spec.planning import plan as _plan
from torcd.spec.policies import (
    ActionSpec,
    FailureHandlerSpec,
    FailureRuleSpec,
    ResourceRequirementsSpec,
)
from torcd.spec.problems import Problem, invalid, most_important, problems
from torcd.spec.schema import Entry, FileSpec, JobSpec, UserDataSpec, WorkflowSpec

__all__ = [
    "MAX_BYTES",
    "ActionSpec",
    "Document",
    "Entry",
    "FailureHandlerSpec",
    "FailureRuleSpec",
    "FileSpec",
    "JobSpec",
    "Plan",
    "Problem",
    "ResourceRequirementsSpec",
    "UserDataSpec",
    "WorkflowSpec",
    "check",
    "default_name",
    "expand",
    "plan",
    "read",
]


def check(spec: WorkflowSpec, *, file: str = "") -> list[Problem]:
    """Everything wrong or doubtful about a spec, by path, without lines."""
    found = _expansion.expansion(spec, directory="/", default_name=default_name(file or "-"))
    return problems(most_important(found.findings), file=file, positions={})


def expand(
    spec: WorkflowSpec,
    *,
    directory: str,
    default_name: str,
    first_key: int = 0,
    max_jobs: int = _expansion.MAX_JOBS,
) -> model.Workflow:
    """The workflow of a spec, with keys from `first_key` on: itself, jobs, files, user_data.

    `directory` is absolute: where relative paths are taken from. Raises InvalidSpec with all
    problems.
    """
    return _right(
        _expansion.expansion(
            spec,
            directory=directory,
            default_name=default_name,
            first_key=first_key,
            max_jobs=max_jobs,
        )
    ).workflow


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
