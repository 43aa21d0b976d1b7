"""The daemon's log tells of workflows, and of jobs that end badly.

Of jobs there may be thousands a second; the events have them all.
"""

from collections.abc import Iterable
from typing import Any

from torcd.model import Happening, JobKey, JobStatus
from torcd.scheduler import Scheduler

_ENDED_BADLY = frozenset({JobStatus.FAILED.value, JobStatus.TERMINATED.value})


def write(log: Any, happenings: Iterable[Happening], scheduler: Scheduler) -> None:
    """Tell of what has been committed."""
    for happening in happenings:
        if happening.data_key is not None:
            continue
        if happening.job_key is not None:
            if happening.status in _ENDED_BADLY:
                _bad_end(log, happening, happening.job_key, scheduler)
        else:
            facts = {} if happening.action is None else {"action": happening.action}
            log.info(
                happening.kind,
                workflow=str(happening.workflow_key),
                status=happening.status,
                **facts,
            )


def _bad_end(log: Any, happening: Happening, key: JobKey, scheduler: Scheduler) -> None:
    node = scheduler.workflows.get(happening.workflow_key)
    job = None if node is None else node.jobs.get(key)
    log.warning(
        "job_failed",
        workflow=str(happening.workflow_key),
        job=str(key) if job is None else job.job.name,
        attempt=happening.attempt_id,
        status=happening.status,
        reason=None if happening.reason is None else happening.reason.value,
        return_code=happening.return_code,
    )
