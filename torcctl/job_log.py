"""The log of an attempt of a job."""

from torcctl.follow import changes
from torcctl.invocation import Invocation
from torcctl.logfile import Log, NoLog, Stream
from torcd.errors import UnknownJob
from torcd.model import ENDED, Reason
from torcd.protocol import manager as m


def find(
    invocation: Invocation, job: str, attempt: int | None, stream: Stream, *, waits: bool
) -> Log:
    """Of that attempt, or the newest one; with `waits`, as soon as there is one. Raises UnknownJob,
    and NoLog where there is none."""
    found = _job(invocation, job)
    result = _result(invocation, invocation.workflow_key, found, attempt)
    if result is None and waits and found.status not in ENDED:
        result = _wait_for_attempt(invocation, found, attempt)
    if result is None:
        raise _nothing(found, attempt)
    if result.reason is Reason.START_FAILED:
        raise NoLog(f"job '{found.name}' did not start: {result.message}", job=found.name)
    path = result.stderr if stream == "stderr" else result.stdout
    if path is None:
        raise NoLog(f"job '{found.name}' keeps no {stream} (stdio: {found.stdio})", job=found.name)
    attempt_id = result.attempt_id
    return Log(
        path=path,
        stream=stream,
        run_id=result.run_id,
        has_ended=result.status in ENDED,
        until_ended=lambda: _until_ended(invocation, found, attempt_id),
        job_key=result.job_key,
        job_name=result.job_name,
        attempt_id=attempt_id,
    )


def _job(invocation: Invocation, job: str) -> m.JobInfo:
    jobs = invocation.call(m.ListJobs(workflow_key=invocation.workflow_key, jobs=[job])).items
    if not jobs:
        raise UnknownJob(f"no job '{job}'; 'torcctl jobs' lists them", job=job)
    if len(jobs) > 1:
        names = ", ".join(j.name for j in jobs[:5]) + (", …" if len(jobs) > 5 else "")
        raise UnknownJob(f"'{job}' is {len(jobs)} jobs ({names}); name one", job=job)
    return jobs[0]


def _result(
    invocation: Invocation, key: str | None, job: m.JobInfo, attempt: int | None
) -> m.Result | None:
    """The attempt asked for, or the newest; of the newest run in which the job ran."""
    request = m.ListResults(workflow_key=key, all_runs=True, jobs=[job.name])
    results = [
        result
        for result in invocation.call(request).items
        if result.job_key == job.key and attempt in (None, result.attempt_id)
    ]
    return max(results, key=lambda r: (r.run_id, r.attempt_id), default=None)


def _nothing(job: m.JobInfo, attempt: int | None) -> NoLog:
    status = job.status.value
    if attempt is not None and job.attempt_id is not None:
        text = f"job '{job.name}' has no attempt {attempt}"
    elif job.status in ENDED:
        text = f"job '{job.name}' never ran (it is {status})"
    else:
        text = (
            f"job '{job.name}' has not started (it is {status}); -f waits for it, "
            f"'torcctl explain {job.name}' says what it waits for"
        )
    return NoLog(text, job=job.name, status=status)


def _wait_for_attempt(
    invocation: Invocation, job: m.JobInfo, attempt: int | None
) -> m.Result | None:
    """The attempt, as soon as it is there; None when the job ends without it."""
    invocation.say(f"job '{job.name}' has not started (it is {job.status.value}); waiting")
    invocation.be_patient()
    for info in changes(invocation, invocation.workflow_key):
        result = _result(invocation, info.key, job, attempt)
        if result is not None:
            return result
        if _now(invocation, info.key, job).status in ENDED:
            return None
    return None


def _until_ended(invocation: Invocation, job: m.JobInfo, attempt: int) -> None:
    """Return when the attempt has ended. Runs in a thread of its own."""
    invocation.be_patient()
    for info in changes(invocation, invocation.workflow_key):
        now = _now(invocation, info.key, job)
        if now.status in ENDED or now.attempt_id != attempt:
            return


def _now(invocation: Invocation, key: str, job: m.JobInfo) -> m.JobInfo:
    jobs = invocation.call(m.ListJobs(workflow_key=key, jobs=[job.name])).items
    return next((j for j in jobs if j.key == job.key), job)
