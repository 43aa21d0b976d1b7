"""A `WorkflowSpec` becomes the `model.Workflow` that is submitted.

One pass gives every item its key, puts defaults in, looks every name up, and writes the final
commands; what it cannot make sense of becomes a finding, and it goes on. So checking is expanding
and looking at the findings: there is no second set of rules. Names of jobs, of files and of
user_data are three namespaces.
"""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

import msgspec

from torcd import graph, model, value
from torcd.errors import InvalidValue, TooLarge
from torcd.spec import placeholders
from torcd.spec.placeholders import Placeholder
from torcd.spec.problems import Finding, Path, Severity, nearest, quoted
from torcd.spec.schema import Entry, JobSpec, UserDataSpec, WorkflowSpec

MAX_JOBS = 1_000_000

_BAD_IN_NAME = re.compile(r"[\0\r\n]")
_CYCLE_ENDS = 10
"""How many jobs of a long cycle a message names at each end."""


class Expansion(msgspec.Struct, frozen=True):
    workflow: model.Workflow
    """Only to be used if none of the findings is an error."""
    findings: list[Finding]


def expansion(
    spec: WorkflowSpec,
    *,
    directory: str,
    default_name: str,
    first_key: int = 0,
    max_jobs: int = MAX_JOBS,
) -> Expansion:
    """Expand, and tell everything that is wrong with the spec."""
    jobs = spec.jobs or ()
    if len(jobs) > max_jobs:
        message = f"the workflow has {len(jobs)} jobs, and may have {max_jobs}"
        empty = WorkflowSpec(name=spec.name)
        return Expansion(
            _Expander(empty, directory, default_name, first_key).workflow(),
            [Finding(("jobs",), message)],
        )
    expander = _Expander(spec, directory, default_name, first_key)
    workflow = expander.workflow()
    return Expansion(workflow, [*expander.findings, *_cycles(workflow)])


class _Expander:
    def __init__(
        self, spec: WorkflowSpec, directory: str, default_name: str, first_key: int
    ) -> None:
        self.findings: list[Finding] = []
        self._spec = spec
        self._directory = PurePosixPath(directory)
        self._default_name = default_name
        self._first_key = first_key
        jobs, files, user_data = spec.jobs or (), spec.files or (), spec.user_data or ()
        first_job = first_key + 1
        first_file = first_job + len(jobs)
        first_data = first_file + len(files)
        job_names = [f"job_{n}" if j.name is None else j.name for n, j in enumerate(jobs, 1)]
        self._jobs = _Namespace("job", "jobs", job_names, first_job)
        self._files = _Namespace("file", "files", [f.name for f in files], first_file)
        self._user_data = _Namespace(
            "user_data", "user_data", [d.name for d in user_data], first_data
        )
        self._paths = [str(self._directory / f.path) for f in files]

    def workflow(self) -> model.Workflow:
        spec = self._spec
        name = self._default_name if spec.name is None else spec.name
        self._check_name(name, ("name",))
        for field in ("description", "user"):
            self._check_text(getattr(spec, field) or "", (field,))
        self._check_env(spec.env or {}, ("env",))
        if not spec.jobs:
            self._add(("jobs",), "there are no jobs", 'write jobs: [{command: "…"}]')
        for namespace in (self._jobs, self._files, self._user_data):
            self._check_names(namespace)
        return model.Workflow(
            key=model.WorkflowKey(self._first_key),
            name=name,
            description=spec.description,
            user=spec.user,
            env=spec.env or {},
            directory=str(self._directory),
            jobs=tuple(self._job(n, job) for n, job in enumerate(spec.jobs or ())),
            files=tuple(self._all_files()),
            user_data=tuple(self._all_user_data()),
        )

    # The items

    def _all_files(self) -> Iterable[model.File]:
        for n, (file, path) in enumerate(zip(self._spec.files or (), self._paths, strict=True)):
            if not file.path:
                self._add(("files", n, "path"), "the path is empty")
            self._check_text(file.path, ("files", n, "path"))
            key = model.FileKey(self._files.first_key + n)
            yield model.File(key=key, name=file.name, path=path)

    def _all_user_data(self) -> Iterable[model.UserData]:
        for n, item in enumerate(self._spec.user_data or ()):
            yield model.UserData(
                key=model.DataKey(self._user_data.first_key + n),
                name=item.name,
                data=self._data(item, n),
                is_ephemeral=item.is_ephemeral or False,
                available=item.available or "on_completion",
            )

    def _data(self, item: UserDataSpec, n: int) -> msgspec.Raw | None:
        if item.data is msgspec.UNSET:
            return None
        try:
            text = value.parse(bytes(item.data), name=item.name).text
        except (InvalidValue, TooLarge) as error:
            problem = str(error.facts.get("problem", error.message))
            self._add(("user_data", n, "data"), problem)
            return None
        return None if text == b"null" else msgspec.Raw(text)

    def _job(self, n: int, job: JobSpec) -> model.Job:
        at: Path = ("jobs", n)
        if job.depends_on is not None and job.blocked_by is not None:
            message = "`blocked_by` is the old name of `depends_on`, which is there too"
            self._add((*at, "blocked_by"), message, "write all of it in depends_on")
        keys = {
            "depends_on": self._keys(self._jobs, job.depends_on, at, "depends_on"),
            "blocked_by": self._keys(self._jobs, job.blocked_by, at, "blocked_by"),
            "input_files": self._keys(self._files, job.input_files, at, "input_files"),
            "output_files": self._keys(self._files, job.output_files, at, "output_files"),
            "input_user_data": self._keys(
                self._user_data, job.input_user_data, at, "input_user_data"
            ),
            "output_user_data": self._keys(
                self._user_data, job.output_user_data, at, "output_user_data"
            ),
        }
        if job.env:
            self._check_env(job.env, (*at, "env"))
        if job.cwd is not None:
            if not job.cwd:
                self._add((*at, "cwd"), "the directory is empty")
            self._check_text(job.cwd, (*at, "cwd"))
        command = self._command(job, at, keys)
        return model.Job(
            key=model.JobKey(self._jobs.first_key + n),
            name=self._jobs.names[n],
            command=command,
            depends_on=tuple(
                model.JobKey(k) for k in _unique(keys["depends_on"] + keys["blocked_by"])
            ),
            input_files=tuple(model.FileKey(k) for k in _unique(keys["input_files"])),
            output_files=tuple(model.FileKey(k) for k in _unique(keys["output_files"])),
            input_user_data=tuple(model.DataKey(k) for k in _unique(keys["input_user_data"])),
            output_user_data=tuple(model.DataKey(k) for k in _unique(keys["output_user_data"])),
            cancel_on_blocking_job_failure=job.cancel_on_blocking_job_failure is not False,
            supports_termination=job.supports_termination or False,
            priority=job.priority or 0,
            env=job.env or {},
            cwd=None if job.cwd is None else str(self._directory / job.cwd),
            stdio=job.stdio or "separate",
        )

    # The command

    def _command(self, job: JobSpec, at: Path, keys: dict[str, list[int]]) -> str | tuple[str, ...]:
        """The final command. Adds what its placeholders declare to `keys`."""
        at_command = (*at, "command")
        script = (job.invocation_script or "").strip()
        self._check_text(script, (*at, "invocation_script"))

        def path_or_key(placeholder: Placeholder) -> str:
            namespace = self._files if placeholder.kind == "files" else self._user_data
            key = self._key(namespace, placeholder.name, at_command)
            if key is None:
                return ""
            keys[placeholder.field].append(key)
            return self._path_or_key(key)

        if isinstance(job.command, str):
            if not job.command.strip():
                self._add(at_command, "the command is empty")
            self._check_text(job.command, at_command)
            text = placeholders.substitute(job.command, lambda p: shlex.quote(path_or_key(p)))
            text = " ".join([text, *map(shlex.quote, self._arguments(job))])
            return _with_script(script, text) if script else text

        if not job.command or not job.command[0]:
            self._add(at_command, "the command is empty", "the first item is the program")
        for n, word in enumerate(job.command):
            self._check_text(word, (*at_command, n))
        words = [placeholders.substitute(word, path_or_key) for word in job.command]
        words += self._arguments(job)
        return _with_script(script, shlex.join(words)) if script else tuple(words)

    def _arguments(self, job: JobSpec) -> list[str]:
        """`CLI_ARG=PATH` of the entries that ask for it."""
        arguments = []
        for namespace, references in (
            (self._files, job.input_files),
            (self._files, job.output_files),
            (self._user_data, job.input_user_data),
            (self._user_data, job.output_user_data),
        ):
            for reference in references or ():
                if isinstance(reference, Entry) and reference.cli_arg is not None:
                    key = namespace.keys.get(reference.name)
                    if key is not None:
                        arguments.append(f"{reference.cli_arg}={self._path_or_key(key)}")
        return arguments

    def _path_or_key(self, key: int) -> str:
        n = key - self._files.first_key
        return self._paths[n] if n < len(self._paths) else str(key)

    # Names

    def _keys(
        self,
        namespace: "_Namespace",
        references: Sequence[str | Entry] | None,
        at: Path,
        field: str,
    ) -> list[int]:
        found: list[int] = []
        for n, reference in enumerate(references or ()):
            if isinstance(reference, str):
                key = self._key(namespace, reference, (*at, field, n))
            else:
                key = self._key(namespace, reference.name, (*at, field, n, "name"))
                self._check_text(reference.cli_arg or "", (*at, field, n, "cli_arg"))
            if key is not None:
                if key in found:
                    message = f"{namespace.kind} {quoted(namespace.name_of(key))} is named twice"
                    self._add((*at, field, n), message, severity="warning")
                found.append(key)
        return found

    def _key(self, namespace: "_Namespace", name: str, path: Path) -> int | None:
        key = namespace.keys.get(name)
        if key is None:
            hint = nearest(name, namespace.keys)
            if hint is None and namespace.section != "jobs":
                hint = f"declare it in `{namespace.section}`"
            message = f"unknown {namespace.kind} {quoted(name)}"
            self.findings.append(Finding(path, message, hint, namespace=namespace.section))
        return key

    def _check_names(self, namespace: "_Namespace") -> None:
        for n, name in enumerate(namespace.names):
            self._check_name(name, (namespace.section, n, "name"))
        if len(namespace.keys) == len(namespace.names):
            return
        first: dict[str, int] = {}
        for n, name in enumerate(namespace.names):
            if first.setdefault(name, n) != n:
                message = (
                    f"{namespace.kind} {quoted(name)} is already at "
                    f"{namespace.section}[{first[name]}]"
                )
                self._add((namespace.section, n, "name"), message, "names must differ")

    def _check_name(self, name: str, path: Path) -> None:
        if not name:
            self._add(path, "the name is empty")
        elif _BAD_IN_NAME.search(name):
            self._add(path, f"the name {quoted(name)} has a line break or a NUL")

    # Texts

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


class _Namespace:
    """Names of one kind, and their keys in order of declaration."""

    def __init__(self, kind: str, section: str, names: Sequence[str], first_key: int) -> None:
        self.kind = kind
        self.section = section
        self.names = names
        self.first_key = first_key
        self.keys = {name: key for key, name in enumerate(names, first_key)}

    def name_of(self, key: int) -> str:
        return self.names[key - self.first_key]


def _with_script(script: str, command: str) -> str:
    """On one line it stands before the command, otherwise above it in the same shell."""
    return f"{script}\n{command}" if "\n" in script else f"{script} {command}"


def _unique(keys: list[int]) -> list[int]:
    return list(dict.fromkeys(keys))


def _cycles(workflow: model.Workflow) -> list[Finding]:
    names = {job.key: job.name for job in workflow.jobs}
    places = {job.key: n for n, job in enumerate(workflow.jobs)}
    subjects: dict[int, str] = {file.key: file.name for file in workflow.files}
    subjects.update((item.key, item.name) for item in workflow.user_data)

    def step(link: graph.Link) -> str:
        if link.gate.kind == "job":
            return f"{quoted(names[link.consumer])} (by depends_on)"
        subject = quoted(subjects[link.gate.subject])
        return f"{quoted(names[link.consumer])} (through {link.gate.kind} {subject})"

    findings = []
    for cycle in graph.find_cycles(workflow, graph.gates(workflow)):
        first = cycle[0].producer
        steps = [quoted(names[first]), *map(step, cycle)]
        if len(steps) > 2 * _CYCLE_ENDS + 1:
            left_out = f"… {len(steps) - 2 * _CYCLE_ENDS} more …"
            steps = [*steps[:_CYCLE_ENDS], left_out, *steps[-_CYCLE_ENDS:]]
        findings.append(
            Finding(
                ("jobs", places[first]),
                f"jobs wait for one another: {' -> '.join(steps)}",
                "take one of these dependencies out",
            )
        )
    return findings
