"""A `WorkflowSpec` becomes the `model.Workflow` that is submitted.

One pass gives every item its key, puts defaults in, looks every name up, and writes the final
commands; what it cannot make sense of becomes a finding, and it goes on. So checking is expanding
and looking at the findings: there is no second set of rules. Names of jobs, of files and of
user_data are three namespaces.
"""

from collections.abc import Callable, Mapping
from itertools import chain
from operator import itemgetter
from pathlib import PurePosixPath
from typing import Any, TypeVar

import msgspec
from msgspec.structs import astuple

from torcd import model, value
from torcd.spec import cycles, folding
from torcd.spec.command_expansion import Commands, names_data
from torcd.spec.data_expansion import UserData
from torcd.spec.names import check_name
from torcd.spec.policy_expansion import Policies
from torcd.spec.problems import Finding, Path
from torcd.spec.references import Inputs, References
from torcd.spec.regexes import Match, Regexes
from torcd.spec.rekeying import Known, keys_of, names_of, rekeyed
from torcd.spec.schema import FileSpec, JobSpec, UserDataSpec, WorkflowSpec
from torcd.spec.schemas import Schemas
from torcd.spec.sections import Sections
from torcd.spec.texts import check_env, check_text
from torcd.spec.unfolding import Copied
from torcd.spec.unrolling import Item, said_once

Made = TypeVar("Made")

MAX_JOBS = 1_000_000


class Expansion(msgspec.Struct, frozen=True):
    workflow: model.Workflow
    """Only to be used if none of the findings is an error."""
    findings: list[Finding]
    matches: tuple[Match, ...] = ()


def expansion(
    spec: WorkflowSpec,
    *,
    directory: str,
    default_name: str,
    first_key: int = 0,
    max_jobs: int = MAX_JOBS,
    known: Known | None = None,
    values: Mapping[str, value.Value] | None = None,
) -> Expansion:
    """Expand, and tell everything that is wrong with the spec. As an edit of a workflow that is
    known, it has that one's keys.

    There are jobs for the elements of `values`, by name, and of those that the spec gives besides
    and no job makes."""
    values = values or {}
    found = _expansion(spec, directory, default_name, first_key, max_jobs, known, values)
    if any(one.severity == "error" for one in found.findings):
        return found
    given = {**_given(found.workflow), **values}
    if len(given) == len(values):
        return found
    return _expansion(spec, directory, default_name, first_key, max_jobs, known, given)


def _given(workflow: model.Workflow) -> dict[str, value.Value]:
    """What jobs say `for_each` of, is there from the beginning, and no job makes."""
    wanted = {job.for_each.data for job in workflow.jobs if job.for_each is not None}
    if not wanted:
        return {}
    made = {key for job in workflow.jobs for key in job.output_user_data}
    return {
        data.name: value.parse(bytes(data.data), name=data.name)
        for data in workflow.user_data
        if data.key in wanted - made and data.data is not None
    }


def _expansion(
    spec: WorkflowSpec,
    directory: str,
    default_name: str,
    first_key: int,
    max_jobs: int,
    known: Known | None,
    values: Mapping[str, value.Value],
) -> Expansion:
    unrolled = Sections(spec)
    wrong = unrolled.too_many(max_jobs)
    is_folded = any(job.for_each is not None for job in spec.jobs or ())
    if is_folded and not wrong:
        wrong = said_once(unrolled.unfold(spec, values, max_jobs)) or unrolled.too_many(max_jobs)
    if any(finding.severity == "error" for finding in wrong):
        empty = model.Workflow(key=model.WorkflowKey(first_key), name=default_name, jobs=())
        return Expansion(empty, [*unrolled.findings, *wrong])
    with Schemas() as schemas:
        expander = _Expander(spec, unrolled, directory, default_name, first_key, schemas, known)
        workflow = expander.workflow()
    findings = [f for f in expander.findings if not unrolled.explains(f)]
    in_circles = cycles.findings(workflow, unrolled.jobs.origins, expander.matches)
    said = [*unrolled.findings, *wrong, *findings, *in_circles]
    if not any(finding.severity == "error" for finding in said):
        if is_folded:
            workflow = folding.with_gates(workflow)
        if known is not None:
            workflow = rekeyed(workflow, known, expander.keys)
    return Expansion(workflow, said, expander.matches)


_FEW = frozenset({"command", "name", *Inputs.__struct_fields__})
"""All that most jobs say: for them the other fields are not looked at one by one."""

_OTHERS = [n for n, field in enumerate(JobSpec.__struct_fields__) if field not in _FEW]
_others_of = itemgetter(*_OTHERS)
_NO_OTHERS = (None,) * len(_OTHERS)
_NO_MORE = {"env": model.NO_VARIABLES}


class _Expander:
    def __init__(
        self,
        spec: WorkflowSpec,
        unrolled: Sections,
        directory: str,
        default_name: str,
        first_key: int,
        schemas: Schemas,
        known: Known | None,
    ) -> None:
        self.findings: list[Finding] = []
        self._data = UserData(schemas, self.findings)
        self._spec = spec
        self._unrolled = unrolled
        self._directory = PurePosixPath(directory)
        self._name = default_name if spec.name is None else spec.name
        self._key = model.WorkflowKey(first_key)
        self._jobs, self._files, self._user_data = unrolled.namespaces(first_key + 1)
        self._replacements = {
            key: str(self._directory / file.path)
            for key, file in enumerate(chain.from_iterable(unrolled.files), self._files.first_key)
        }
        """What stands for a file or a user_data on a command line: its path, or its key."""
        self._regexes = Regexes(
            {"job": self._jobs, "file": self._files, "user_data": self._user_data}
        )
        self._references = References(
            self._jobs, self._files, self._user_data, self._regexes, self.findings
        )
        self._commands = Commands(self._files, self._user_data, self._replacements, self.findings)
        self._policies = Policies(spec)
        self._first_group = self._user_data.first_key + unrolled.user_data.count
        self.matches: tuple[Match, ...] = ()
        self._adders = {} if known is None else known.adders
        self.keys: dict[int, int] = {}
        """Of an edit: from the keys that are counted here to those that it is to have."""
        if known is not None:
            names = (self._jobs.keys, self._files.keys, self._user_data.keys)
            self.keys = keys_of(known, zip(names, names_of(known.workflow), strict=True))
        self._replacements.update(
            (key, str(self.keys.get(key, key))) for key in self._user_data.keys.values()
        )

    def workflow(self) -> model.Workflow:
        spec, unrolled = self._spec, self._unrolled
        finding = check_name(self._name, ("name",))
        if finding:
            self.findings.append(finding)
        self.findings += check_text(spec.description or "", ("description",))
        self.findings += check_text(spec.user or "", ("user",))
        self.findings += check_env(spec.env or {}, ("env",))
        if not spec.jobs:
            self._add(("jobs",), "there are no jobs", 'write jobs: [{command: "…"}]')
        for namespace in (self._jobs, self._files, self._user_data):
            self.findings += namespace.findings()
        make_job = self._job if unrolled.folds else self._plain_job
        resolved = self._regexes.resolve(self._all(unrolled.jobs, make_job), self._first_group)
        self.findings += resolved.findings
        self.matches = resolved.matches
        actions = self._policies.actions(self._jobs)
        without_effect = self._policies.without_effect()
        self.findings += said_once(self._policies.findings)
        return model.Workflow(
            key=self._key,
            name=self._name,
            description=spec.description,
            user=spec.user,
            env=spec.env or {},
            directory=str(self._directory),
            jobs=resolved.jobs,
            groups=resolved.groups,
            actions=actions,
            failure_handlers=self._policies.failure_handlers,
            jobs_sort_method=spec.jobs_sort_method or "none",
            max_retries=spec.max_retries,
            max_dynamic_jobs=(
                model.MAX_DYNAMIC_JOBS if spec.max_dynamic_jobs is None else spec.max_dynamic_jobs
            ),
            without_effect=without_effect,
            files=self._all(unrolled.files, self._file),
            user_data=self._all(unrolled.user_data, self._item),
        )

    def _all(
        self, section: Copied[Item], make: Callable[[int, int, Item], Made]
    ) -> tuple[Made, ...]:
        """Everything of a section. What is said of copies of one item is said once."""
        made: list[Made] = []
        if section.as_written is not None:
            return tuple([make(n, n, item) for n, item in enumerate(section.as_written)])
        for origin, copies in enumerate(section):
            told, count = len(self.findings), len(made)
            made += [make(n, origin, item) for n, item in enumerate(copies, count)]
            if len(self.findings) > told + 1 and len(made) > count + 1:
                self.findings[told:] = said_once(self.findings[told:])
        return tuple(made)

    def _file(self, n: int, origin: int, file: FileSpec) -> model.File:
        if not file.path:
            self._add(("files", origin, "path"), "the path is empty")
        self.findings += check_text(file.path, ("files", origin, "path"))
        key = model.FileKey(self._files.first_key + n)
        return model.File(key=key, name=file.name, path=self._replacements[key])

    def _item(self, n: int, origin: int, item: UserDataSpec) -> model.UserData:
        return self._data.of(model.DataKey(self._user_data.first_key + n), origin, item)

    def _job(self, n: int, origin: int, job: JobSpec) -> model.Job:
        fold = self._unrolled.folds.get(n)
        if fold is None:
            return self._plain_job(n, origin, job)
        for_each = self._references.for_each(fold, origin)
        if fold.count:
            return model.Job(
                key=model.JobKey(self._jobs.first_key + n),
                name=self._jobs.names[n],
                command=job.command,
                input_user_data=(for_each.data,),
                for_each=for_each,
                added=self._added(self._jobs.names[n]),
            )
        # It stands for its elements, with all that they say.
        plain = self._plain_job(n, origin, job)
        reads = tuple(dict.fromkeys((for_each.data, *plain.input_user_data)))
        return msgspec.structs.replace(plain, input_user_data=reads, for_each=for_each)

    def _element(self, n: int) -> model.Element | None:
        found = self._unrolled.elements.get(n)
        if found is None:
            return None
        place, element = found
        return model.Element(
            of=model.JobKey(self._jobs.first_key + place),
            index=element.index,
            key=element.key,
            sha256=element.sha256,
        )

    def _plain_job(self, n: int, origin: int, job: JobSpec) -> model.Job:
        has_more = _others_of(astuple(job)) != _NO_OTHERS or self._unrolled.elements or self._adders
        name = self._jobs.names[n]
        # Not another int than that by which others name it: there may be 100 000.
        key = model.JobKey(self._jobs.keys[name])
        if not (has_more or names_data(job)):
            command = self._commands.complete(job.command)
            awaited = self._references.plain(job.depends_on) if job.depends_on else {}
            if command is not None and awaited is not None:
                return model.Job(
                    key=key,
                    name=name,
                    command=command,
                    depends_on=tuple(awaited),
                    env=model.NO_VARIABLES,
                )
        at: Path = ("jobs", origin)
        inputs = self._references.of(n, origin, job)
        more = self._more(n, origin, job, inputs) if has_more else _NO_MORE
        return model.Job(
            key=key,
            name=name,
            command=self._commands.of(job, at, inputs),
            # Most jobs name a few kinds of things.
            depends_on=tuple(inputs.depends_on) if inputs.depends_on else (),
            input_files=tuple(inputs.input_files) if inputs.input_files else (),
            output_files=tuple(inputs.output_files) if inputs.output_files else (),
            input_user_data=tuple(inputs.input_user_data) if inputs.input_user_data else (),
            output_user_data=tuple(inputs.output_user_data) if inputs.output_user_data else (),
            **more,
        )

    def _more(self, n: int, origin: int, job: JobSpec, inputs: Inputs) -> dict[str, Any]:
        """What it says besides its command and what it names."""
        at: Path = ("jobs", origin)
        if job.env:
            self.findings += check_env(job.env, (*at, "env"))
        if job.cwd is not None:
            if not job.cwd:
                self._add((*at, "cwd"), "the directory is empty")
            self.findings += check_text(job.cwd, (*at, "cwd"))
        element = self._element(n)
        if element is not None:
            inputs.depends_on[element.of] = None
        return {
            "cancel_on_blocking_job_failure": job.cancel_on_blocking_job_failure is not False,
            "supports_termination": job.supports_termination or False,
            "priority": job.priority or 0,
            "env": job.env or model.NO_VARIABLES,
            "cwd": None if job.cwd is None else str(self._directory / job.cwd),
            "stdio": job.stdio or "separate",
            "resources": self._policies.resources(job, at),
            "failure_handler": self._policies.failure_handler(job, at),
            "scheduler": self._policies.scheduler(job, at),
            "has_regexes": self._regexes.add(n, origin, job),
            "added": self._added(self._jobs.names[n]),
            "element": element,
        }

    def _added(self, name: str) -> model.Added | None:
        """Who added it, by the keys that are counted here."""
        adding = self._adders.get(name)
        key = None if adding is None else self._jobs.keys.get(adding.by)
        if adding is None or key is None or adding.by == name:
            return None
        return model.Added(by=model.JobKey(key), run_id=adding.run_id, attempt_id=adding.attempt_id)

    def _add(self, path: Path, message: str, hint: str | None = None) -> None:
        self.findings.append(Finding(path, message, hint))
