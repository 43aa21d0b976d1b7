"""What people are told about why a job is where it is: messages that name the facts."""

import signal
from collections.abc import Sequence

from torcd.model import DataKey, FileKey, JobKey, JobStatus, Reason
from torcd.scheduler.nodes import GateNode, JobNode
from torcd.scheduler.state import WorkflowNode

PAST = {
    JobStatus.FAILED: "failed",
    JobStatus.CANCELED: "was canceled",
    JobStatus.TERMINATED: "was terminated",
}


def subject(node: WorkflowNode, gate: GateNode) -> str:
    """What the gate stands for."""
    if gate.kind == "job":
        return f'"{node.jobs[JobKey(gate.subject)].job.name}"'
    if gate.kind == "user_data":
        return f'user_data "{node.data[DataKey(gate.subject)].data.name}"'
    return file(node, FileKey(gate.subject))


def file(node: WorkflowNode, key: FileKey) -> str:
    found = node.files[key]
    return f'file "{found.name}" ({found.path})'


def because_of_job(culprit: JobNode, status: JobStatus) -> str:
    """Why what waits for a job is canceled when that ends badly, like this."""
    return f'canceled because "{culprit.job.name}" {PAST[status]}'


def because_of(node: WorkflowNode, culprit: JobNode, gate: GateNode) -> str:
    """Why a consumer of the gate is canceled when a producer ends badly."""
    message = because_of_job(culprit, culprit.state.status)
    if gate.kind != "job":
        message += f", which makes {subject(node, gate)}"
    return message


def because_spoiled(node: WorkflowNode, gate: GateNode) -> str:
    """The same, later, when the culprit is no longer at hand."""
    if gate.kind == "job":
        return f"canceled because {subject(node, gate)} ended badly"
    return f"canceled because a job that makes {subject(node, gate)} ended badly"


def because_not_added_again(adder: JobNode) -> str:
    """Why a job is canceled that another one had added in an earlier attempt."""
    past = PAST[adder.state.status]
    return f'canceled because "{adder.job.name}", which had added it, {past} and did not again'


def because_never_made(node: WorkflowNode, gate: GateNode) -> str:
    return f"{subject(node, gate)} is missing, and the job that makes it is disabled"


def names(jobs: Sequence[JobNode]) -> str:
    """The first three of them, and how many more."""
    first = [f'"{job.job.name}"' for job in jobs[:3]]
    return ", ".join(first) + (f" and {len(jobs) - 3} more" if len(jobs) > 3 else "")


def verdict(
    return_code: int, *, ran_out_of_memory: bool
) -> tuple[JobStatus, Reason | None, str | None]:
    """What a return code says of an attempt that ended by itself."""
    if return_code and ran_out_of_memory:
        how = f"killed by {signal_name(-return_code)}" if return_code < 0 else ""
        how = how or f"exited with status {return_code}"
        return (
            JobStatus.FAILED,
            Reason.OOM,
            f"{how}: the kernel killed it, or a process of it, because memory ran out",
        )
    if return_code < 0:
        return JobStatus.FAILED, Reason.SIGNAL, f"killed by {signal_name(-return_code)}"
    if return_code > 0:
        return JobStatus.FAILED, Reason.EXIT, f"exited with status {return_code}"
    return JobStatus.COMPLETED, None, None


def duration(seconds: float) -> str:
    """`1 h 30 min`, `2.5 s`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = [f"{hours} h"] if hours else []
    if minutes:
        parts.append(f"{minutes} min")
    if rest or not parts:
        parts.append(f"{rest:g} s")
    return " ".join(parts)


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
