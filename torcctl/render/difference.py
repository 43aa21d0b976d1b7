"""What an edited spec changes, for people."""

from torcctl.render.table import Column
from torcd.protocol import manager as m

_STYLES = {"added": "green", "removed": "red", "changed": "yellow"}

_WORDS = {
    "will_run": "will run",
    "may_run": "may run",
    "up_to_date": "up to date",
    "next_run": "next run",
}

_OUTLOOK_STYLES = {
    "will_run": "cyan",
    "may_run": "yellow",
    "up_to_date": "dim",
    "next_run": "magenta",
}

CHANGES: list[Column[m.Change]] = [
    Column("CHANGE", lambda c: c.change, style=lambda c: _STYLES[c.change]),
    Column("WHAT", lambda c: c.kind),
    Column("NAME", lambda c: c.name, folds=True),
    Column("FIELDS", lambda c: ", ".join(c.fields), folds=True),
]

EDITED: list[Column[m.EditedJob]] = [
    Column("JOB", lambda j: j.name, folds=True),
    Column("OUTLOOK", lambda j: _WORDS[j.outlook], style=lambda j: _OUTLOOK_STYLES[j.outlook]),
    Column("WHY", lambda j: j.reason, folds=True),
]


def worth_telling(reply: m.Applied) -> list[m.EditedJob]:
    """The jobs to which something happens."""
    return [item for item in reply.items if item.outlook != "up_to_date"]


def unchanged_text(reply: m.Applied) -> str:
    return f"workflow {reply.workflow_key}: the spec is the same, so nothing changes"


def would_text(reply: m.Applied) -> str:
    """`workflow 3 would be changed, and run 2 begin: 1 job will run`."""
    begins = f", and run {reply.run_id} begin" if reply.restarted else ""
    return f"workflow {reply.workflow_key} would be changed{begins}{_counts(reply)}"


def applied_text(reply: m.Applied) -> str:
    begins = f", and run {reply.run_id} has begun" if reply.restarted else ""
    return f"workflow {reply.workflow_key} is changed{begins}{_counts(reply)}"


def question(reply: m.Applied) -> str:
    return f"change workflow {reply.workflow_key}?"


def _counts(reply: m.Applied) -> str:
    counts = dict.fromkeys(_WORDS, 0)
    for item in reply.items:
        counts[item.outlook] += 1
    will, may, later = counts["will_run"], counts["may_run"], counts["next_run"]
    parts = []
    if will:
        parts.append("1 job will run" if will == 1 else f"{will} jobs will run")
    if may:
        parts.append(f"{may} may run")
    if later:
        parts.append(f"{later} in the next run")
    return ": " + (", ".join(parts) or "nothing runs because of it")
