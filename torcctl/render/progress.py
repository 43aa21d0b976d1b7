"""How far a workflow is, in a line; and, at its end, what became of it."""

import msgspec

from torcctl.render.amounts import duration, seconds_between
from torcctl.render.standing import counts
from torcctl.render.text import clean, clean_lines
from torcd.protocol import manager as m

MAX_FAILURES = 10
"""How many failed jobs the summary tells about; the rest it counts."""

MAX_TAIL_LINES = 10
"""How many of the last lines of a failed job's standard error it shows."""


class Failure(msgspec.Struct, frozen=True):
    """A job that failed, and the end of what it wrote to standard error."""

    job: m.JobInfo
    tail: list[str]


def progress(info: m.WorkflowInfo, elapsed_seconds: float) -> str:
    """The progress line."""
    state = "" if info.status.value == "running" else f" {info.status.value}"
    elapsed = duration(float(int(elapsed_seconds)))
    return f"workflow {info.key} {clean(info.name)}{state}: {counts(info)}, {elapsed}"


def failure_line(job: m.JobInfo) -> str:
    """What is said at once when a job fails."""
    return f"{job.status.value}: {clean(job.name)}{_why(job)}"


def _why(job: m.JobInfo) -> str:
    if job.message:
        return f": {clean(job.message)}"
    return f": {job.reason.value}" if job.reason else ""


def tail(data: bytes) -> list[str]:
    """The last lines of a log, fit for a terminal."""
    lines = data.decode(errors="replace").rstrip("\n").split("\n")
    return [clean_lines(line.rstrip("\r")) for line in lines[-MAX_TAIL_LINES:] if line.strip()]


def summary(info: m.WorkflowInfo, failures: list[Failure], failed: int) -> str:
    """What became of a workflow; of `failed` jobs, `failures` are told about."""
    took = duration(seconds_between(info.started_at, info.ended_at))
    in_time = f" in {took}" if took else ""
    head = f"workflow {info.key} {clean(info.name)} {info.status.value}{in_time}: {counts(info)}"
    lines = [head]
    for failure in failures:
        job = failure.job
        reason = f" ({job.reason.value})" if job.reason else ""
        lines.append(f"  {clean(job.name)} {job.status.value}{reason}")
        if job.message:
            lines.append(f"    {clean(job.message)}")
        lines += [f"    | {line}" for line in failure.tail]
    if failed > len(failures):
        lines.append(f"  … and {failed - len(failures)} more")
    if failed:
        lines.append(f"More: torcctl -k {info.key} results, torcctl -k {info.key} logs JOB")
    return "\n".join(lines + failed_actions(info))


def failed_actions(info: m.WorkflowInfo) -> list[str]:
    """How many have failed, and where to look; no line if none has."""
    failed = (info.actions or {}).get("failed", 0)
    if not failed:
        return []
    actions = "1 action" if failed == 1 else f"{failed} actions"
    look = f"torcctl -k {info.key} actions, torcctl -k {info.key} logs --action N --stderr"
    return [f"{actions} failed: {look}"]
