"""What a request has changed, for people."""

from torcd import waiting
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


def added_text(added: m.AddedJobs) -> str:
    """`workflow 12: added a, b; unchanged: c`"""
    parts = []
    for change, words in (
        ("added", "added"),
        ("changed", "changed:"),
        ("unchanged", "unchanged:"),
    ):
        names = [item.name for item in added.items if item.change == change]
        if names:
            parts.append(f"{words} {waiting.listed(names, MAX_NAMES)}")
    if added.earlier:
        earlier = waiting.listed(added.earlier, MAX_NAMES)
        parts.append(f"of earlier attempts, not added again so far: {earlier}")
    return f"workflow {added.workflow_key}: {'; '.join(parts) or 'no jobs'}"
