"""`torcctl jobs`: the jobs of a workflow."""

import click

from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcctl.render.columns import ADDED_BY, JOBS
from torcd.model import JobStatus
from torcd.protocol import manager as m


@click.command(
    "jobs",
    cls=Command,
    short_help="List the jobs of a workflow.",
    example="torcctl jobs --status failed --name 'work_*'",
)
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice([status.value for status in JobStatus]),
    help="Only jobs in this state; may be given several times.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="GLOB",
    help="Only jobs of this name, key or pattern; may be given several times.",
)
@pass_invocation
def command(invocation: Invocation, statuses: tuple[str, ...], names: tuple[str, ...]) -> None:
    """List the jobs of a workflow, in the order of its spec."""
    reply = invocation.call(
        m.ListJobs(
            workflow_key=invocation.workflow_key,
            statuses=[JobStatus(status) for status in statuses] or None,
            jobs=list(names) or None,
        )
    )
    columns = [*JOBS, ADDED_BY] if any(job.added_by for job in reply.items) else JOBS
    invocation.print_list(reply, columns, reply.items, empty="no such jobs")
