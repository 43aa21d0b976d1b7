"""What a restart runs, for people."""

from torcctl.render.amounts import size
from torcctl.render.table import Column
from torcctl.render.text import clean
from torcd.protocol import manager as m

MAX_NAMED = 20
"""How many jobs are named with their reasons; the rest is counted."""

_WORDS = {"will_run": "will run", "may_run": "may run", "up_to_date": "up to date"}

_STYLES = {"will_run": "cyan", "may_run": "yellow", "up_to_date": "dim"}


OUTLOOKS: list[Column[m.JobOutlook]] = [
    Column("JOB", lambda j: j.name, folds=True),
    Column("OUTLOOK", lambda j: _WORDS[j.outlook], style=lambda j: _STYLES[j.outlook]),
    Column("WHY", lambda j: j.reason, folds=True),
]


def outlook_text(reply: m.Restarted) -> str:
    """`run 2: 1 job will run, 2 may run, 3 are up to date`."""
    if not reply.outlooks.will_run:
        return f"workflow {reply.workflow_key}: nothing is out of date, nothing would run"
    return f"workflow {reply.workflow_key}: run {reply.run_id} would begin: {_counts(reply)}"


def restarted_text(reply: m.Restarted) -> str:
    """What has begun, and why."""
    if not reply.restarted:
        return (
            f"workflow {reply.workflow_key}: nothing is out of date, so nothing runs "
            f"(run {reply.run_id} was the last)"
        )
    running = [item for item in reply.items if item.outlook == "will_run"]
    lines = [f"workflow {reply.workflow_key}: run {reply.run_id} has begun: {_counts(reply)}"]
    lines += [f"  {clean(item.name)}: {clean(item.reason)}" for item in running[:MAX_NAMED]]
    if len(running) > MAX_NAMED:
        lines.append(f"  and {len(running) - MAX_NAMED} more")
    return "\n".join(lines)


def reading_text(progress: m.ReadingFiles) -> str:
    """The progress line while files are read."""
    return (
        f"looking for changes: {progress.files_read} of {progress.files} files read, "
        f"{size(progress.bytes_read)} of {size(progress.bytes)}"
    )


def _counts(reply: m.Restarted) -> str:
    counts = reply.outlooks
    will = "1 job will run" if counts.will_run == 1 else f"{counts.will_run} jobs will run"
    may = [f"{counts.may_run} may run"] if counts.may_run else []
    rest = []
    if counts.up_to_date:
        rest = [f"{counts.up_to_date} {'is' if counts.up_to_date == 1 else 'are'} up to date"]
    return ", ".join([will, *may, *rest])
