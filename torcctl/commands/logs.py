"""`torcctl logs`: what a job wrote."""

from collections.abc import Iterator
from typing import Literal

import click
import msgspec

from torcctl.follow import changes
from torcctl.invocation import Invocation, write
from torcctl.logfile import chunks, follow
from torcctl.options import Command, pass_invocation
from torcctl.render import jsontext
from torcd.errors import UnknownJob, UserError
from torcd.model import ENDED, Reason
from torcd.protocol import manager as m

Stream = Literal["stdout", "stderr"]


class NoLog(UserError):
    """There is nothing to print: the job has not started, or keeps no log. Facts: job, status."""

    code = "NoLog"


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """What `-F json` prints: all of a log, or with -f each piece of it as it is written."""

    job_key: str
    job_name: str
    run_id: int
    attempt_id: int
    stream: Stream
    path: str
    text: str


@click.command(
    "logs",
    cls=Command,
    short_help="Print what a job wrote.",
    example="torcctl logs postprocess -f\ntorcctl logs postprocess --stderr --attempt 1",
)
@click.argument("job", metavar="JOB")
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on until the attempt has ended.")
@click.option("--stderr", is_flag=True, help="Standard error instead of standard output.")
@click.option(
    "--attempt",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of that attempt. Default: the newest one.",
)
@pass_invocation
def command(
    invocation: Invocation, job: str, follows: bool, stderr: bool, attempt: int | None
) -> None:
    """Print what a job wrote to standard output, or to standard error.

    A job that has not started has written nothing: -f waits for it.
    """
    stream: Stream = "stderr" if stderr else "stdout"
    found = _job(invocation, job)
    key = invocation.workflow_key
    result = _result(invocation, key, found, attempt)
    if result is None and follows and found.status not in ENDED:
        result = _wait_for_attempt(invocation, found, attempt)
    if result is None:
        raise _nothing(found, attempt)
    if result.reason is Reason.START_FAILED:
        raise NoLog(f"job '{found.name}' did not start: {result.message}", job=found.name)
    path = result.stderr if stream == "stderr" else result.stdout
    if path is None:
        raise NoLog(f"job '{found.name}' keeps no {stream} (stdio: {found.stdio})", job=found.name)
    if follows and result.status not in ENDED:
        data = follow(path, lambda: _until_ended(invocation, found, result.attempt_id))
    else:
        data = chunks(path)
    _print(invocation, data, result, stream, path, whole=not follows)


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
    for info in changes(invocation, invocation.workflow_key):
        result = _result(invocation, info.key, job, attempt)
        if result is not None:
            return result
        if _now(invocation, info.key, job).status in ENDED:
            return None
    return None


def _until_ended(invocation: Invocation, job: m.JobInfo, attempt: int) -> None:
    """Return when the attempt has ended. Runs in a thread of its own."""
    for info in changes(invocation, invocation.workflow_key):
        now = _now(invocation, info.key, job)
        if now.status in ENDED or now.attempt_id != attempt:
            return


def _now(invocation: Invocation, key: str, job: m.JobInfo) -> m.JobInfo:
    jobs = invocation.call(m.ListJobs(workflow_key=key, jobs=[job.name])).items
    return next((j for j in jobs if j.key == job.key), job)


def _print(
    invocation: Invocation,
    data: Iterator[bytes],
    result: m.Result,
    stream: Stream,
    path: str,
    *,
    whole: bool,
) -> None:
    if not invocation.as_json:
        for chunk in data:
            write(chunk)
        return

    def piece(text: bytes) -> Piece:
        return Piece(
            job_key=result.job_key,
            job_name=result.job_name,
            run_id=result.run_id,
            attempt_id=result.attempt_id,
            stream=stream,
            path=path,
            text=text.decode(errors="replace"),
        )

    if whole:
        write(jsontext.document(piece(b"".join(data))))
    else:
        for chunk in data:
            write(jsontext.line(piece(chunk)))
