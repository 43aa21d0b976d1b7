"""A `WorkflowSpec` becomes the `model.Workflow` that is submitted.

One pass gives every item its key, puts defaults in, looks every name up, and writes the final
commands; what it cannot make sense of becomes a finding, and it goes on. So checking is expanding
and looking at the findings: there is no second set of rules. Names of jobs, of files and of
user_data are three namespaces.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import PurePosixPath
from typing import TypeVar, cast

import msgspec

from torcd import model, value
from torcd.errors import InvalidValue, TooLarge
from torcd.spec import commands, cycles, folding
from torcd.spec.names import Namespace, check_name
from torcd.spec.placeholders import Placeholder
from torcd.spec.policy_expansion import Policies
from torcd.spec.problems import Finding, Path, Severity, quoted
from torcd.spec.regexes import Match, Regexes
from torcd.spec.rekeying import Known, keys_of, names_of, rekeyed
from torcd.spec.schema import Entry, FileSpec, JobSpec, Reference, UserDataSpec, WorkflowSpec
from torcd.spec.schemas import Schemas
from torcd.spec.sections import Sections
from torcd.spec.unfolding import Copied, Fold
from torcd.spec.unrolling import Item, said_once

Made = TypeVar("Made")
Key = TypeVar("Key", model.JobKey, model.FileKey, model.DataKey)

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


class _Inputs(msgspec.Struct):
    """What one job refers to: keys, each once, in the order they were named."""

    depends_on: dict[model.JobKey, None] = {}
    input_files: dict[model.FileKey, None] = {}
    output_files: dict[model.FileKey, None] = {}
    input_user_data: dict[model.DataKey, None] = {}
    output_user_data: dict[model.DataKey, None] = {}


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
        self._schemas = schemas
        self._spec = spec
        self._unrolled = unrolled
        self._directory = PurePosixPath(directory)
        self._name = default_name if spec.name is None else spec.name
        self._key = model.WorkflowKey(first_key)
        jobs, files, user_data = unrolled.jobs, unrolled.files, unrolled.user_data
        first_file = first_key + 1 + jobs.count
        first_data = first_file + files.count
        standing = unrolled.standing.get
        self._jobs = Namespace(
            "job", "jobs", jobs.names("job"), first_key + 1, jobs.origins, standing("job")
        )
        self._files = Namespace(
            "file", "files", files.names("file"), first_file, files.origins, standing("file")
        )
        self._user_data = Namespace(
            "user_data",
            "user_data",
            user_data.names("user_data"),
            first_data,
            user_data.origins,
            standing("user_data"),
        )
        self._replacements = {
            first_file + n: str(self._directory / file.path)
            for n, file in enumerate(chain.from_iterable(files))
        }
        """What stands for a file or a user_data on a command line: its path, or its key."""
        self._commands: dict[str | tuple[str, ...], str | tuple[str, ...]] = {}
        self._regexes = Regexes(
            {"job": self._jobs, "file": self._files, "user_data": self._user_data}
        )
        self._policies = Policies(spec)
        self._first_group = first_data + user_data.count
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
        self._check_text(spec.description or "", ("description",))
        self._check_text(spec.user or "", ("user",))
        self._check_env(spec.env or {}, ("env",))
        if not spec.jobs:
            self._add(("jobs",), "there are no jobs", 'write jobs: [{command: "…"}]')
        for namespace in (self._jobs, self._files, self._user_data):
            self.findings += namespace.findings()
        resolved = self._regexes.resolve(self._all(unrolled.jobs, self._job), self._first_group)
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
        for origin, copies in enumerate(section):
            told, count = len(self.findings), len(made)
            made += [make(n, origin, item) for n, item in enumerate(copies, count)]
            if len(self.findings) > told + 1 and len(made) > count + 1:
                self.findings[told:] = said_once(self.findings[told:])
        return tuple(made)

    def _file(self, n: int, origin: int, file: FileSpec) -> model.File:
        if not file.path:
            self._add(("files", origin, "path"), "the path is empty")
        self._check_text(file.path, ("files", origin, "path"))
        key = model.FileKey(self._files.first_key + n)
        return model.File(key=key, name=file.name, path=self._replacements[key])

    def _item(self, n: int, origin: int, item: UserDataSpec) -> model.UserData:
        at: Path = ("user_data", origin)
        data = self._data(item, (*at, "data"))
        schema, findings = self._schemas.read(item, data, at)
        self.findings += findings
        return model.UserData(
            key=model.DataKey(self._user_data.first_key + n),
            name=item.name,
            data=data,
            is_ephemeral=item.is_ephemeral or False,
            available=item.available or "on_completion",
            schema=schema,
        )

    def _data(self, item: UserDataSpec, path: Path) -> msgspec.Raw | None:
        if isinstance(item.data, msgspec.UnsetType):
            return None
        try:
            text = value.parse(bytes(item.data), name=item.name).text
        except InvalidValue as error:
            self._add(path, f"the data is refused: {error.facts['problem']}")
            return None
        except TooLarge as error:
            self._add(path, error.message)
            return None
        return None if text == b"null" else msgspec.Raw(text)

    def _job(self, n: int, origin: int, job: JobSpec) -> model.Job:
        fold = self._unrolled.folds.get(n)
        if fold is None:
            return self._plain_job(n, origin, job)
        for_each = self._for_each(fold, origin)
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

    def _for_each(self, fold: Fold, origin: int) -> model.ForEach:
        path = ("jobs", origin, "for_each")
        key = self._user_data.keys.get(fold.data, 0)
        if not key and not self._user_data.stands_for_elements(fold.data):
            self.findings.append(self._user_data.unknown(fold.data, path))
        return model.ForEach(
            data=model.DataKey(key),
            sha256=None if fold.elements is None else fold.elements.sha256,
            count=fold.count,
        )

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
        # Of most jobs most fields are absent: what these would cost is not done.
        at: Path = ("jobs", origin)
        inputs = _Inputs()
        if job.depends_on:
            self._look_up(n, self._jobs, job.depends_on, (*at, "depends_on"), inputs.depends_on)
        if job.blocked_by is not None or job.blocked_by_regexes is not None:
            self._check_old_names(job, at)
            path = (*at, "blocked_by")
            self._look_up(n, self._jobs, job.blocked_by or (), path, inputs.depends_on)
        if job.input_files or job.output_files:
            for field, references, into in (
                ("input_files", job.input_files, inputs.input_files),
                ("output_files", job.output_files, inputs.output_files),
            ):
                self._look_up(n, self._files, references or (), (*at, field), into)
        if job.input_user_data or job.output_user_data:
            for field, references, values in (
                ("input_user_data", job.input_user_data, inputs.input_user_data),
                ("output_user_data", job.output_user_data, inputs.output_user_data),
            ):
                self._look_up(n, self._user_data, references or (), (*at, field), values)
        if job.env:
            self._check_env(job.env, (*at, "env"))
        if job.cwd is not None:
            if not job.cwd:
                self._add((*at, "cwd"), "the directory is empty")
            self._check_text(job.cwd, (*at, "cwd"))
        command = self._command(job, at, inputs)
        # Jobs that run the same share its text.
        command = self._commands.setdefault(command, command)
        element = self._element(n) if self._unrolled.elements else None
        if element is not None:
            inputs.depends_on[element.of] = None
        return model.Job(
            # Not another int than that by which others name it: there may be 100 000.
            key=model.JobKey(self._jobs.keys[self._jobs.names[n]]),
            name=self._jobs.names[n],
            command=command,
            depends_on=tuple(inputs.depends_on),
            input_files=tuple(inputs.input_files),
            output_files=tuple(inputs.output_files),
            input_user_data=tuple(inputs.input_user_data),
            output_user_data=tuple(inputs.output_user_data),
            cancel_on_blocking_job_failure=job.cancel_on_blocking_job_failure is not False,
            supports_termination=job.supports_termination or False,
            priority=job.priority or 0,
            env=job.env or model.NO_VARIABLES,
            cwd=None if job.cwd is None else str(self._directory / job.cwd),
            stdio=job.stdio or "separate",
            resources=self._policies.resources(job, at),
            failure_handler=self._policies.failure_handler(job, at),
            scheduler=self._policies.scheduler(job, at),
            has_regexes=self._regexes.add(n, origin, job),
            added=self._added(self._jobs.names[n]) if self._adders else None,
            element=element,
        )

    def _check_old_names(self, job: JobSpec, at: Path) -> None:
        for new, old in (
            ("depends_on", "blocked_by"),
            ("depends_on_regexes", "blocked_by_regexes"),
        ):
            if getattr(job, new) is not None and getattr(job, old) is not None:
                message = f"`{old}` is the old name of `{new}`, which is there too"
                self._add((*at, old), message, f"write all of it in {new}")

    def _added(self, name: str) -> model.Added | None:
        """Who added it, by the keys that are counted here."""
        adding = self._adders.get(name)
        key = None if adding is None else self._jobs.keys.get(adding.by)
        if adding is None or key is None or adding.by == name:
            return None
        return model.Added(by=model.JobKey(key), run_id=adding.run_id, attempt_id=adding.attempt_id)

    def _command(self, job: JobSpec, at: Path, inputs: _Inputs) -> str | tuple[str, ...]:
        """The final command. What its placeholders declare is added to `inputs`."""
        path, script_path = (*at, "command"), (*at, "invocation_script")
        script = (job.invocation_script or "").strip()
        if script:
            self._check_text(script, script_path)
        if isinstance(job.command, str):
            if not job.command.strip():
                self._add(path, "the command is empty")
            self._check_text(job.command, path)
        else:
            if not job.command or not job.command[0]:
                self._add(path, "the command is empty", "the first item is the program")
            for n, word in enumerate(job.command):
                self._check_text(word, (*path, n))
        arguments = self._arguments(job)
        if not (script or arguments or commands.has_placeholders(job.command)):
            return job.command

        def replacement(placeholder: Placeholder, word: int | None, place: Path = path) -> str:
            namespace = self._files if placeholder.kind == "files" else self._user_data
            place = place if word is None else (*place, word)
            key = namespace.keys.get(placeholder.name)
            if job.for_each is None and namespace.stands_for_elements(placeholder.name):
                message = f"{quoted(placeholder.name)} is one for each element"
                self._add(place, message, f"name it in {placeholder.field}: that means all of them")
                return ""
            if key is None:
                self.findings.append(namespace.unknown(placeholder.name, place))
                return ""
            getattr(inputs, placeholder.field)[key] = None
            return self._replacements[key]

        return commands.assembled(
            job.command,
            script=commands.substituted(script, partial(replacement, place=script_path)),
            arguments=arguments,
            replacement=replacement,
        )

    def _arguments(self, job: JobSpec) -> list[str]:
        """`CLI_ARG=PATH` of the entries that ask for it."""
        if not (job.input_files or job.output_files or job.input_user_data or job.output_user_data):
            return []
        return [
            f"{entry.cli_arg}={self._replacements[key]}"
            for namespace, references in (
                (self._files, job.input_files),
                (self._files, job.output_files),
                (self._user_data, job.input_user_data),
                (self._user_data, job.output_user_data),
            )
            if references
            for entry in references
            if isinstance(entry, Entry) and entry.cli_arg is not None
            for key in namespace.find(entry.name) or ()
        ]

    def _look_up(
        self,
        n: int,
        namespace: Namespace,
        references: Sequence[Reference],
        path: Path,
        into: dict[Key, None],
    ) -> None:
        plain = None if into else namespace.find_plain(references)
        if plain is not None:
            into.update(cast("dict[Key, None]", plain))
            return
        for at, reference in enumerate(references):
            name = reference if isinstance(reference, str) else reference.name
            keys = namespace.find(name)
            if isinstance(reference, Entry):
                self._check_text(reference.cli_arg or "", (*path, at, "cli_arg"))
            if keys is None:
                place = (*path, at) if isinstance(reference, str) else (*path, at, "name")
                self.findings.append(namespace.unknown(name, place))
            elif len(keys) > 1:
                self._look_up_several(n, keys, path, into)
            elif cast("Key", keys[0]) in into:
                message = f"{namespace.kind} {quoted(name)} is named twice"
                self._add((*path, at), message, severity="warning")
            else:
                into[cast("Key", keys[0])] = None

    def _look_up_several(
        self, n: int, keys: tuple[int, ...], path: Path, into: dict[Key, None]
    ) -> None:
        """What is waited for may be a group; what is made may not."""
        match path:
            case (_, int(origin), "depends_on" | "blocked_by"):
                self._regexes.add_several(n, origin, "depends_on", keys)
            case (_, int(origin), "input_files"):
                self._regexes.add_several(n, origin, "input_files", keys)
            case (_, int(origin), "input_user_data"):
                self._regexes.add_several(n, origin, "input_user_data", keys)
            case _:
                into.update(cast("dict[Key, None]", dict.fromkeys(keys)))

    def _check_text(self, text: str, path: Path) -> None:
        if "\0" in text:
            self._add(path, "the text has a NUL character")

    def _check_env(self, env: Mapping[str, str], path: Path) -> None:
        for name, text in env.items():
            if not name:
                self._add((*path, name), "the name of an environment variable is empty")
            elif "=" in name or "\0" in name:
                message = f"{quoted(name)} cannot be the name of an environment variable"
                self._add((*path, name), message, "it has a `=` or a NUL")
            self._check_text(text, (*path, name))

    def _add(
        self, path: Path, message: str, hint: str | None = None, severity: Severity = "error"
    ) -> None:
        self.findings.append(Finding(path, message, hint, severity))
