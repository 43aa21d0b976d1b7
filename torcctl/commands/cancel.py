"""`torcctl cancel`: a workflow, or some of its jobs."""

import click

from torcctl.follow import changes
from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcctl.render.changed import changed_text
from torcd.protocol import manager as m


@click.command(
    "cancel",
    cls=Command,
    short_help="Cancel a workflow or some of its jobs.",
    example="torcctl cancel 'work_*' --wait",
)
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@click.option("--wait", is_flag=True, help="Return when all of it has ended.")
@pass_invocation
def command(invocation: Invocation, jobs: tuple[str, ...], wait: bool) -> None:
    """Cancel a workflow or some of its jobs, and what depends on them.

    JOB is a name, a key or a pattern; without one, the whole workflow is meant. Returns when the
    daemon has accepted it; running jobs may take their grace time to end.
    """
    changed = invocation.call(
        m.Cancel(workflow_key=invocation.workflow_key, jobs=list(jobs) or None)
    )
    if wait:
        _wait(invocation, changed)
    done = "canceled" if wait else "canceling"
    invocation.print_object(changed, lambda: changed_text(changed, done), said=True)


def _wait(invocation: Invocation, changed: m.Changed) -> None:
    """Until none of those jobs is on its way out."""
    wanted = set(changed.jobs)
    invocation.be_patient()
    for _ in changes(invocation, changed.workflow_key):
        jobs = invocation.call(m.ListJobs(workflow_key=changed.workflow_key)).items
        if not any(job.stopping for job in jobs if job.name in wanted):
            return
