"""How a workflow stands, for people. Light on purpose: the quick path of `status` imports it."""

from __future__ import annotations

from torcctl.render.amounts import duration, moment, seconds_between
from torcctl.render.text import pairs

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing and the structs cost time
    from torcd.protocol import manager as m


def workflow_status(w: m.WorkflowInfo) -> str:
    """Its state, with what else is to be known of that: `running, stopping`."""
    status = w.status.value
    if w.frozen:
        status += ", frozen"
    elif w.stopping:
        status += ", stopping"
    return f"{status}, archived" if w.archived else status


def counts(info: m.WorkflowInfo) -> str:
    """`3 of 10 done, 2 running, 1 failed`: what there is none of is left out."""
    jobs = info.jobs
    done = jobs.get("completed", 0) + jobs.get("disabled", 0)
    others = {
        "running": jobs.get("running", 0) + jobs.get("pending", 0),
        "ready": jobs.get("ready", 0),
        "blocked": jobs.get("blocked", 0),
        "failed": jobs.get("failed", 0),
        "terminated": jobs.get("terminated", 0),
        "canceled": jobs.get("canceled", 0),
    }
    parts = [f"{done} of {sum(jobs.values())} done"]
    return ", ".join(parts + [f"{n} {name}" for name, n in others.items() if n])


def workflow_text(w: m.WorkflowInfo) -> str:
    """All of it: a name and a value a line."""
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
