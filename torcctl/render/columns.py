"""Which columns each list has."""

from collections.abc import Callable

import msgspec

from torcctl.render.amounts import duration, moment, seconds_between, size
from torcctl.render.standing import workflow_status
from torcctl.render.table import Column
from torcd.model import JobStatus, WorkflowStatus
from torcd.protocol import manager as m
from torcd.protocol import user_data as u

_STYLES = {
    "completed": "green",
    "failed": "red",
    "terminated": "red",
    "canceled": "yellow",
    "paused": "yellow",
    "running": "cyan",
    "pending": "cyan",
    "disabled": "dim",
    "blocked": "dim",
}


def style_of(status: JobStatus | WorkflowStatus) -> str | None:
    return _STYLES.get(status.value)


def _status(status: JobStatus | WorkflowStatus, *, stopping: bool) -> str:
    return f"{status.value}, stopping" if stopping else status.value


def _names(names: list[str]) -> str:
    return ", ".join(names)


def command_text(command: str | list[str] | None) -> str | None:
    """A command as one would type it."""
    if not isinstance(command, list):
        return command
    import shlex

    return shlex.join(command)


def _done(w: m.WorkflowInfo) -> str:
    return f"{w.jobs.get('completed', 0) + w.jobs.get('disabled', 0)}/{sum(w.jobs.values())}"


def workflow_columns(items: list[m.WorkflowInfo], me: str) -> list[Column[m.WorkflowInfo]]:
    """With their owners, if there are others' than `me`'s among them."""
    owner = Column[m.WorkflowInfo]("OWNER", lambda w: w.owner)
    key, *rest = _WORKFLOWS
    return [key, owner, *rest] if {w.owner for w in items} - {None, me} else _WORKFLOWS


_WORKFLOWS: list[Column[m.WorkflowInfo]] = [
    Column("KEY", lambda w: w.key, right=True),
    Column("NAME", lambda w: w.name, folds=True),
    Column(
        "STATUS",
        workflow_status,
        style=lambda w: style_of(w.status),
    ),
    Column("RUN", lambda w: w.run_id, right=True),
    Column("DONE", _done, right=True),
    Column("FAILED", lambda w: w.jobs.get("failed", 0), right=True),
    Column("SUBMITTED", lambda w: moment(w.submitted_at)),
    Column("TOOK", lambda w: duration(seconds_between(w.started_at, w.ended_at)), right=True),
]

JOBS: list[Column[m.JobInfo]] = [
    Column("KEY", lambda j: j.key, right=True),
    Column("NAME", lambda j: j.name, folds=True),
    Column(
        "STATUS",
        lambda j: _status(j.status, stopping=j.stopping),
        style=lambda j: style_of(j.status),
    ),
    Column("CODE", lambda j: j.return_code, right=True),
    Column("STARTED", lambda j: moment(j.started_at)),
    Column("TOOK", lambda j: duration(seconds_between(j.started_at, j.ended_at)), right=True),
    Column("REASON", lambda j: j.reason.value if j.reason else None),
    Column("MESSAGE", lambda j: j.message, folds=True),
]

ADDED_BY: Column[m.JobInfo] = Column("ADDED BY", lambda j: j.added_by, folds=True)
"""Where jobs have added jobs."""

RESULTS: list[Column[m.Result]] = [
    Column("JOB", lambda r: r.job_name, folds=True),
    Column("RUN", lambda r: r.run_id, right=True),
    Column("ATTEMPT", lambda r: r.attempt_id, right=True),
    Column("STATUS", lambda r: r.status.value, style=lambda r: style_of(r.status)),
    Column("CODE", lambda r: r.return_code, right=True),
    Column("STARTED", lambda r: moment(r.started_at)),
    Column("TOOK", lambda r: duration(seconds_between(r.started_at, r.ended_at)), right=True),
    Column("CPU", lambda r: duration(r.cpu_seconds), right=True),
    Column("MEMORY", lambda r: size(r.peak_memory_bytes), right=True),
    Column("REASON", lambda r: r.reason.value if r.reason else None),
    Column("MESSAGE", lambda r: r.message, folds=True),
]

COMMANDS: list[Column[tuple[m.ActionInfo, m.ActionCommand]]] = [
    Column("ACTION", lambda c: c[0].number, right=True),
    Column("TRIGGER", lambda c: c[0].trigger),
    Column("COMMAND", lambda c: c[1].number, right=True),
    Column("STATUS", lambda c: c[1].status.value, style=lambda c: style_of(c[1].status)),
    Column("CODE", lambda c: c[1].return_code, right=True),
    Column("TOOK", lambda c: duration(seconds_between(c[1].started_at, c[1].ended_at)), right=True),
    Column("WHY", lambda c: c[1].message, folds=True),
    Column("TEXT", lambda c: c[1].command, folds=True, cut_on_terminal=60),
]

FILES: list[Column[m.FileInfo]] = [
    Column("KEY", lambda f: f.key, right=True),
    Column("NAME", lambda f: f.name, folds=True),
    Column("EXISTS", lambda f: "yes" if f.exists else "no"),
    Column("SIZE", lambda f: size(f.size_bytes), right=True),
    Column("MADE BY", lambda f: _names(f.producers), folds=True),
    Column("READ BY", lambda f: _names(f.consumers), folds=True),
    Column("PATH", lambda f: f.path, folds=True),
]


def _value(data: object) -> str | None:
    return bytes(data).decode(errors="replace") if isinstance(data, msgspec.Raw) else None


RECORDS: list[Column[u.Record]] = [
    Column("KEY", lambda r: r.key, right=True),
    Column("NAME", lambda r: r.name, folds=True),
    Column("REVISION", lambda r: r.revision, right=True),
    Column("STORED", lambda r: moment(r.stored_at)),
    Column("BY", lambda r: r.stored_by.job_name if r.stored_by else None, folds=True),
    Column("VALUE", lambda r: _value(r.data), folds=True, cut_on_terminal=60),
]

JOINS: list[Column[m.JoinInfo]] = [
    Column("NAME", lambda j: j.name, folds=True),
    Column("WHAT IT JOINS", lambda j: j.description, folds=True),
]


def _end(end: Callable[[m.Joined], m.JoinNode]) -> tuple[Column[m.Joined], Column[m.Joined]]:
    def key(joined: m.Joined) -> str:
        return end(joined).key

    def name(joined: m.Joined) -> str:
        return end(joined).name

    return Column("KEY", key, right=True), Column("NAME", name, folds=True)


def _facts(joined: m.Joined) -> str:
    """What there is to know about what a job is joined to, whatever it is."""
    to = joined.target
    if to.path is not None:
        return to.path
    data = _value(to.data)
    if data is not None:
        return data
    if to.attempt_id is not None:
        return f"run {to.run_id}, attempt {to.attempt_id}, return code {to.return_code}"
    return to.status.value if to.status else ""


JOINED: list[Column[m.Joined]] = [
    *_end(lambda joined: joined.source),
    Column("", lambda _: "→"),
    *_end(lambda joined: joined.target),
    Column("IS", _facts, folds=True, cut_on_terminal=60),
]


def event_line(event: m.Event) -> list[str | int | None]:
    """An event as the fields of a line: number, time, what, of whom, and the rest."""
    about = event.user_data_name or event.job_name or f"workflow {event.workflow_key}"
    if event.action is not None:
        about += f", action {event.action}, command {event.command}"
    rest = [
        event.status,
        f"revision {event.revision}" if event.revision is not None else None,
        f"return code {event.return_code}" if event.return_code else None,
        event.reason.value if event.reason else None,
        event.message,
    ]
    by = f"by {event.job_name}" if event.user_data_name and event.job_name else None
    details = ", ".join(part for part in (*rest, by) if part)
    return [event.number, moment(event.at), event.kind, about, details]


EVENTS: list[Column[m.Event]] = [
    Column("NUMBER", lambda e: event_line(e)[0], right=True),
    Column("TIME", lambda e: event_line(e)[1]),
    Column("KIND", lambda e: event_line(e)[2]),
    Column("ABOUT", lambda e: event_line(e)[3], folds=True),
    Column("WHAT", lambda e: event_line(e)[4], folds=True),
]
