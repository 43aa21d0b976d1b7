"""One thing in full: a workflow, an explained job, the daemon."""

from torcctl.render.amounts import duration, moment, seconds_between
from torcctl.render.columns import workflow_status
from torcctl.render.progress import counts
from torcctl.render.table import pairs
from torcctl.render.text import clean
from torcd.protocol import manager as m


def workflow_text(w: m.WorkflowInfo) -> str:
    return pairs(
        [
            ("workflow", w.key),
            ("name", w.name),
            ("description", w.description),
            ("status", workflow_status(w)),
            ("jobs", counts(w)),
            ("actions", ", ".join(f"{n} {status}" for status, n in (w.actions or {}).items())),
            ("held up", w.held_up),
            ("run", w.run_id),
            ("at once", w.max_parallel_jobs),
            ("directory", w.directory),
            ("user", w.user),
            ("owner", w.owner),
            ("submitted", moment(w.submitted_at)),
            ("started", moment(w.started_at)),
            ("ended", moment(w.ended_at)),
            ("took", duration(seconds_between(w.started_at, w.ended_at))),
        ]
    )


def explanation_text(e: m.Explanation) -> str:
    lines = [
        f"{clean(e.job.name)}: {clean(e.summary)}",
        *([f"  added by {clean(e.job.added_by)}"] if e.job.added_by else []),
        *(f"  waits for {clean(thing)}" for thing in e.waits_for),
    ]
    if e.remedy:
        lines.append(clean(e.remedy))
    return "\n".join(lines) + "\n"


def daemon_text(d: m.DaemonStatus) -> str:
    return pairs(
        [
            ("pid", d.pid),
            ("warden", d.warden_pid),
            ("version", d.version),
            ("socket", d.socket),
            ("state", d.state_dir),
            ("started", moment(d.started_at)),
            ("workflows", d.workflows),
            ("jobs", d.jobs),
            ("cgroups", d.cgroups or "none"),
            ("held up", d.held_up),
        ]
    )


def reloaded_text(r: m.Reloaded) -> str:
    lines = [f"in force now: {', '.join(r.changed)}" if r.changed else "nothing has changed"]
    if r.needs_restart:
        lines.append(f"when torcd is started again: {', '.join(r.needs_restart)}")
    return "\n".join(lines)
