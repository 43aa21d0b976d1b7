"""`torcctl run`: submit, follow, and tell what became of it."""

import os

import click

from torcctl import daemon_process, exits, logfile, specfile
from torcctl.follow import changes
from torcctl.invocation import Invocation, write
from torcctl.options import Command, pass_invocation
from torcctl.progress import ProgressLine
from torcctl.render import jsontext
from torcctl.render.progress import MAX_FAILURES, Failure, failure_line, summary, tail
from torcd.model import JobStatus, WorkflowStatus
from torcd.protocol import manager as m

_FAILED = [JobStatus.FAILED, JobStatus.TERMINATED]

_TAIL_BYTES = 8 * 1024
"""How much of the end of a log is read for its last lines."""


@click.command(
    "run",
    cls=Command,
    short_help="Submit a workflow and follow it to its end.",
    example="torcctl run diamond.yaml -j 4\ntorcctl run - --spec-format yaml < diamond.yaml",
)
@specfile.argument
@specfile.max_parallel_jobs_option
@click.option("--no-fail", is_flag=True, help="Exit with 0 though jobs failed.")
@click.option("--cancel-on-interrupt", is_flag=True, help="Ctrl-C cancels the workflow.")
@specfile.wait_for_inputs_option
@specfile.format_option
@pass_invocation
def command(
    invocation: Invocation,
    spec: str,
    max_parallel_jobs: int | None,
    no_fail: bool,
    cancel_on_interrupt: bool,
    wait_for_inputs: bool,
    spec_format: str | None,
) -> None:
    """Submit a workflow and follow it to its end.

    Starts a daemon of your own if none answers. Ctrl-C leaves the workflow running and says how to
    come back to it. Exits with 4 if the workflow does not complete well.
    """
    file = specfile.read(spec, spec_format)
    _need_daemon(invocation)
    submitted = specfile.submit(
        invocation, file, max_parallel_jobs=max_parallel_jobs, wait_for_inputs=wait_for_inputs
    )
    invocation.be_patient()
    jobs = "1 job" if submitted.jobs == 1 else f"{submitted.jobs} jobs"
    invocation.say(f"workflow {submitted.key} {submitted.name}: {jobs}")
    interrupted = False
    try:
        info = _follow(invocation, submitted.key)
    except KeyboardInterrupt:
        if not cancel_on_interrupt:
            key = submitted.key
            invocation.say(
                f"detached: workflow {key} goes on.\n"
                f"Come back with 'torcctl -k {key} wait', look with 'torcctl -k {key} status', "
                f"stop it with 'torcctl -k {key} cancel'."
            )
            raise
        invocation.call(m.Cancel(workflow_key=submitted.key))
        invocation.say(f"canceling workflow {submitted.key}")
        interrupted = True
        info = _follow(invocation, submitted.key)
    _tell(invocation, info)
    if interrupted:
        raise click.exceptions.Exit(exits.INTERRUPTED)
    if info.status is not WorkflowStatus.COMPLETED and not no_fail:
        raise click.exceptions.Exit(exits.NOT_WELL)


def _need_daemon(invocation: Invocation) -> None:
    if daemon_process.answers(invocation.socket):
        return
    started = daemon_process.start(daemon_process.own_socket(invocation.socket_option))
    invocation.socket_option = started.socket
    invocation.say(f"started torcd (pid {started.pid}); 'torcctl daemon stop' stops it")


def _follow(invocation: Invocation, key: str) -> m.WorkflowInfo:
    """Draw progress until the workflow is over, and name what fails as it fails."""
    told: set[str] = set()
    last: m.WorkflowInfo | None = None
    with ProgressLine(quiet=invocation.quiet) as line:
        for last in changes(invocation, key):
            if sum(last.jobs.get(status.value, 0) for status in _FAILED) > len(told):
                for job in _failed_jobs(invocation, key):
                    if job.key not in told:
                        told.add(job.key)
                        line.say(failure_line(job))
            line.show(last)
    if last is None:
        last = invocation.call(m.GetWorkflow(workflow_key=key)).workflow
    return last


def _failed_jobs(invocation: Invocation, key: str) -> list[m.JobInfo]:
    return invocation.call(m.ListJobs(workflow_key=key, statuses=_FAILED)).items


def _tell(invocation: Invocation, info: m.WorkflowInfo) -> None:
    if not invocation.quiet:
        failed = _failed_jobs(invocation, info.key) if _any_failed(info) else []
        invocation.say(summary(info, _failures(invocation, info.key, failed), len(failed)))
    if invocation.as_json:
        write(jsontext.line(info))


def _any_failed(info: m.WorkflowInfo) -> bool:
    return any(info.jobs.get(status.value) for status in _FAILED)


def _failures(invocation: Invocation, key: str, failed: list[m.JobInfo]) -> list[Failure]:
    told = failed[:MAX_FAILURES]
    if not told:
        return []
    results = invocation.call(m.ListResults(workflow_key=key, jobs=[job.key for job in told])).items
    newest = {r.job_key: r for r in sorted(results, key=lambda r: (r.run_id, r.attempt_id))}
    return [
        Failure(job, _tail_of(newest[job.key].stderr) if job.key in newest else []) for job in told
    ]


def _tail_of(path: str | None) -> list[str]:
    if path is None:
        return []
    try:
        with logfile.opened(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            return tail(file.read())
    except (OSError, specfile.CannotRead):
        # The daemon may be another user's, whose logs this one may not read.
        return []
