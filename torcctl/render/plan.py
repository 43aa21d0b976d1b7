"""A plan for people."""

from torcctl.render.columns import command_text
from torcctl.render.table import Column
from torcd import waiting
from torcd.spec.planned import Awaited, Plan, PlannedAction, PlannedJob
from torcd.spec.problems import quoted

MAX_NAMED = 5
"""Things named where a job waits for many, and jobs for one that many make; the rest is counted."""

_PLURALS = {"job": "jobs", "file": "files", "user_data": "user_data"}


def job_columns(plan: Plan) -> list[Column[PlannedJob]]:
    reasons = _Reasons(plan)
    return [
        Column("STAGE", lambda j: j.stage, right=True),
        Column("NAME", _name, folds=True),
        Column("WAITS FOR", reasons.of, folds=True),
        Column("COMMAND", lambda j: _command(j.command), folds=True),
    ]


ACTION_COLUMNS: list[Column[tuple[PlannedAction, str]]] = [
    Column("ACTION", lambda a: a[0].number, right=True),
    Column("TRIGGER", lambda a: a[0].trigger_type),
    Column("OF", lambda a: waiting.listed(a[0].jobs, MAX_NAMED), folds=True),
    Column("COMMAND", lambda a: a[1], folds=True),
]


def _name(job: PlannedJob) -> str:
    return job.name if job.for_each is None else f"{job.name} (for each of {job.for_each})"


def _command(command: str | tuple[str, ...]) -> str | None:
    return command_text(command if isinstance(command, str) else list(command))


class _Reasons:
    """What each job waits for, and why. What many wait for is put into words once."""

    def __init__(self, plan: Plan) -> None:
        self._sizes = {group.number: len(group.names) for group in plan.groups}
        self._files = {file.name: file for file in plan.files}
        self._user_data = {item.name: item for item in plan.user_data}
        self._texts: dict[int, str] = {}
        """By the identity of an `Awaited`; the plan keeps those alive."""

    def of(self, job: PlannedJob) -> str:
        texts = [self._text(thing) for thing in job.waits_for]
        return waiting.listed(texts, MAX_NAMED, between="; ")

    def _text(self, thing: Awaited) -> str:
        text = self._texts.get(id(thing))
        if text is None:
            text = self._texts[id(thing)] = self._found(thing) or self._named(thing)
        return text

    def _named(self, thing: Awaited) -> str:
        name = quoted(thing.name or "")
        if thing.kind == "job":
            return f"{name} ({waiting.why('job', name)})"
        item = (self._files if thing.kind == "file" else self._user_data)[thing.name or ""]
        if not item.producers:
            path = self._files[item.name].path if thing.kind == "file" else None
            return waiting.unmade(waiting.thing(thing.kind, name, path))
        makers = waiting.listed([quoted(maker) for maker in item.producers], MAX_NAMED)
        return f"{makers} ({waiting.why(thing.kind, name)})"

    def _found(self, thing: Awaited) -> str:
        if thing.group is None or thing.regexes is None:
            return ""
        size = self._sizes[thing.group]
        regexes = waiting.listed([quoted(regex) for regex in thing.regexes], MAX_NAMED)
        things = thing.kind if size == 1 else _PLURALS[thing.kind]
        text = f"{size} {things} (by {' '.join(filter(None, [thing.by, regexes]))})"
        if thing.kind != "job" and thing.jobs:
            text += f", made by {'1 job' if thing.jobs == 1 else f'{thing.jobs} jobs'}"
        if thing.must_exist == size:
            return waiting.unmade(text)
        return f"{text}, {thing.must_exist} of them by none" if thing.must_exist else text
