"""One thing in full: an explained job, the daemon, what a reload has changed."""

from torcctl.render.amounts import moment
from torcctl.render.text import clean, pairs
from torcd.protocol import manager as m


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
