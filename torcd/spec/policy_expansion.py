"""What a spec says besides jobs, files and user_data: checked, and put into the model's words."""

from collections.abc import Iterable, Sequence
from contextlib import suppress

import msgspec

from torcd import amount, model
from torcd.spec.durations import duration_seconds
from torcd.spec.matching import Names, Problem
from torcd.spec.names import Namespace
from torcd.spec.policies import ActionSpec, FailureRuleSpec, ResourceRequirementsSpec, Trigger
from torcd.spec.problems import Finding, Path, Severity, nearest, quoted
from torcd.spec.schema import ITEMS_WITHOUT_EFFECT, WITHOUT_EFFECT, JobSpec, WorkflowSpec

_NO_EFFECT = "has no effect on one machine"
_OLD_SCRIPTS = {
    "workflow_startup_script": "on_workflow_start",
    "workflow_completion_script": "on_workflow_complete",
    "worker_startup_script": "on_workflow_start",
}


class Policies:
    """Of one spec. What is wrong is in `findings`."""

    def __init__(self, spec: WorkflowSpec) -> None:
        self.findings: list[Finding] = []
        self._spec = spec
        requirements = spec.resource_requirements or ()
        handlers = spec.failure_handlers or ()
        self._check_names("resource_requirements", [r.name for r in requirements])
        self._check_names("failure_handlers", [h.name for h in handlers])
        self._resources = {
            item.name: self._read_resources(n, item) for n, item in enumerate(requirements)
        }
        self.failure_handlers = tuple(
            model.FailureHandler(
                name=handler.name,
                rules=tuple(
                    self._rule(rule, ("failure_handlers", n, "rules", m))
                    for m, rule in enumerate(handler.rules)
                ),
            )
            for n, handler in enumerate(handlers)
        )
        self._handlers = {handler.name for handler in handlers}
        self._told_of_schedulers = False

    # Of a job

    def resources(self, job: JobSpec, at: Path) -> model.Resources | None:
        name = job.resource_requirements
        if name is None:
            return None
        if name not in self._resources:
            path = (*at, "resource_requirements")
            self._unknown("resource_requirements", "resource requirements", name, path)
        return self._resources.get(name)

    def failure_handler(self, job: JobSpec, at: Path) -> str | None:
        name = job.failure_handler
        if name is not None and name not in self._handlers:
            path = (*at, "failure_handler")
            self._unknown("failure_handlers", "failure handler", name, path)
        return name

    def scheduler(self, job: JobSpec, at: Path) -> str | None:
        if job.scheduler and not self._told_of_schedulers:
            self._told_of_schedulers = True
            self._add((*at, "scheduler"), f"a scheduler {_NO_EFFECT}", severity="warning")
        return job.scheduler

    # Of the workflow

    def without_effect(self) -> dict[str, msgspec.Raw]:
        """Those fields as JSON, with a warning for each."""
        kept: dict[str, msgspec.Raw] = {}
        for field in WITHOUT_EFFECT:
            value = getattr(self._spec, field)
            if value is None or isinstance(value, msgspec.UnsetType):
                continue
            if isinstance(value, msgspec.Raw) and not _is_json(value):
                self._add((field,), "this is not JSON", "in KDL its text is JSON, or it has nodes")
                continue
            message = f"`{field}` {_NO_EFFECT}"
            if field == "resource_monitor":
                message = "`resource_monitor` has no effect: what jobs use is always recorded"
            self._add((field,), message, severity="warning")
            kept[field] = msgspec.Raw(msgspec.json.encode(value))
        self._warn_of_old_scripts()
        for section, field in ITEMS_WITHOUT_EFFECT:
            for n, item in enumerate(getattr(self._spec, section) or ()):
                if getattr(item, field) is not None:
                    self._add((section, n, field), f"`{field}` {_NO_EFFECT}", severity="warning")
                    break  # once for all of them
        return kept

    def _warn_of_old_scripts(self) -> None:
        """Old torc's `config` could have commands in it: what is not run is said by its name."""
        if isinstance(self._spec.config, msgspec.UnsetType):
            return
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            config = msgspec.json.decode(bytes(self._spec.config))
            for field, trigger in _OLD_SCRIPTS.items() if isinstance(config, dict) else ():
                if config.get(field):
                    message = f"`{field}` is not run"
                    hint = f"write an action: trigger_type {trigger}, action_type run_commands"
                    self._add(("config", field), message, hint, severity="warning")

    def actions(self, jobs: Namespace) -> tuple[model.Action, ...]:
        found = [
            self._action(action, ("actions", n), jobs)
            for n, action in enumerate(self._spec.actions or ())
        ]
        return tuple(action for action in found if action is not None)

    def _action(self, action: ActionSpec, at: Path, jobs: Namespace) -> model.Action | None:
        """None: it does nothing here, or is wrong."""
        members = self._members(action, at, jobs)
        if action.action_type == "schedule_nodes":
            message = f"schedule_nodes {_NO_EFFECT}"
            self._add((*at, "action_type"), message, severity="warning")
            return None
        for n, command in enumerate(action.commands or ()):
            path = (*at, "commands", n)
            if not command.strip():
                self._add(path, "the command is empty")
            elif "\0" in command:
                self._add(path, "the text has a NUL character")
        if not action.commands:
            self._add(at, "`commands` is missing", "run_commands needs some")
            return None
        trigger = _trigger(action.trigger_type)
        is_about_jobs = trigger in ("on_jobs_ready", "on_jobs_complete")
        if is_about_jobs and not (action.jobs or action.job_name_regexes):
            hint = "say which in `jobs` or `job_name_regexes`"
            self._add(at, f"{action.trigger_type} of which jobs?", hint)
            return None
        if is_about_jobs and not members:
            return None
        if not is_about_jobs and members:
            message = f"the jobs have no effect for {action.trigger_type}"
            self._add((*at, "jobs"), message, severity="warning")
        return model.Action(
            trigger=trigger,
            commands=action.commands,
            jobs=tuple(members) if is_about_jobs else (),
            persistent=action.persistent or False,
        )

    def _members(self, action: ActionSpec, at: Path, jobs: Namespace) -> list[model.JobKey]:
        found: set[int] = set()
        for n, name in enumerate(action.jobs or ()):
            keys = jobs.find(name)
            if keys is None:
                self.findings.append(jobs.unknown(name, (*at, "jobs", n)))
            else:
                found.update(keys)
        answers = Names(jobs.searched).search(action.job_name_regexes or ())
        for n, regex in enumerate(action.job_name_regexes or ()):
            answer, path = answers[regex], (*at, "job_name_regexes", n)
            if isinstance(answer, Problem):
                self._add(path, f"{quoted(regex)}: {answer.message}")
            elif answer:
                found.update(jobs.keys_at(answer))
            else:
                message = f"{quoted(regex)} is found in no name of a job"
                self.findings.append(
                    Finding(path, message, None, "warning", namespace=jobs.section)
                )
        return [model.JobKey(key) for key in sorted(found)]

    def _read_resources(self, n: int, item: ResourceRequirementsSpec) -> model.Resources:
        at: Path = ("resource_requirements", n)
        memory = runtime = None
        if item.memory is not None:
            try:
                memory = amount.memory_bytes(item.memory) or None
            except ValueError as error:
                problem, _, hint = str(error).partition(": ")
                self._add((*at, "memory"), f"{quoted(item.memory)} {problem}", hint)
        if item.runtime is not None:
            runtime = duration_seconds(item.runtime)
            if runtime is None:
                message = f"{quoted(item.runtime)} is no duration"
                self._add((*at, "runtime"), message, 'write "PT30M", "PT2H" or "P1DT12H"')
        if (item.num_nodes or 1) > 1:
            self._add((*at, "num_nodes"), f"num_nodes {_NO_EFFECT}", severity="warning")
        return model.Resources(
            num_cpus=item.num_cpus or 1,
            memory_bytes=memory,
            num_gpus=item.num_gpus or 0,
            num_nodes=item.num_nodes or 1,
            runtime_seconds=runtime,
        )

    def _rule(self, rule: FailureRuleSpec, at: Path) -> model.FailureRule:
        if not (rule.exit_codes or rule.match_all_exit_codes or rule.on):
            hint = "write exit_codes, match_all_exit_codes or on"
            self._add(at, "the rule applies to nothing", hint)
        if 0 in (rule.exit_codes or ()):
            self._add((*at, "exit_codes"), "0 is no failure")
        if "\0" in (rule.recovery_script or ""):
            self._add((*at, "recovery_script"), "the text has a NUL character")
        return model.FailureRule(
            exit_codes=rule.exit_codes or (),
            match_all_exit_codes=rule.match_all_exit_codes or False,
            on=tuple(map(model.Reason, rule.on or ())),
            recovery_script=rule.recovery_script,
            max_retries=3 if rule.max_retries is None else rule.max_retries,
            backoff_seconds=rule.backoff or 0.0,
            max_backoff_seconds=rule.max_backoff,
            jitter=rule.jitter or 0.0,
        )

    def _check_names(self, section: str, names: Sequence[str]) -> None:
        first: dict[str, int] = {}
        for n, name in enumerate(names):
            if not name:
                self._add((section, n, "name"), "the name is empty")
            elif first.setdefault(name, n) != n:
                message = f"{quoted(name)} is already at {section}[{first[name]}]"
                self._add((section, n, "name"), message, "give it a name of its own")

    def _unknown(self, section: str, kind: str, name: str, path: Path) -> None:
        known: Iterable[str] = self._resources if section != "failure_handlers" else self._handlers
        message = f"unknown {kind} {quoted(name)}"
        hint = nearest(name, known)
        self.findings.append(Finding(path, message, hint, namespace=section, name=name))

    def _add(
        self, path: Path, message: str, hint: str | None = None, severity: Severity = "error"
    ) -> None:
        self.findings.append(Finding(path, message, hint, severity))


def _is_json(text: msgspec.Raw) -> bool:
    try:
        msgspec.json.decode(bytes(text))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _trigger(written: Trigger) -> model.ActionTrigger:
    """On one machine there is one worker; it starts and ends with the workflow."""
    match written:
        case "on_worker_start":
            return "on_workflow_start"
        case "on_worker_complete":
            return "on_workflow_complete"
        case _:
            return written
