"""What a request has changed, for people."""

from torcd.protocol import manager as m

MAX_NAMES = 20
"""How many jobs are named; the rest is counted."""


def changed_text(changed: m.Changed, what: str) -> str:
    """`workflow 12: disabled a, b`; `what` is said of the jobs."""
    jobs = changed.jobs
    if not jobs:
        return f"workflow {changed.workflow_key}: nothing to do"
    names = ", ".join(jobs[:MAX_NAMES])
    more = f" and {len(jobs) - MAX_NAMES} more" if len(jobs) > MAX_NAMES else ""
    return f"workflow {changed.workflow_key}: {what} {names}{more}"
