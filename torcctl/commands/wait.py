"""`torcctl wait`: until a workflow is over."""

import click

from torcctl import exits
from torcctl.follow import deadline, to_the_end
from torcctl.invocation import Invocation
from torcctl.options import Command, Seconds, pass_invocation
from torcctl.render.progress import failed_actions
from torcctl.render.standing import counts
from torcd.model import WorkflowStatus


@click.command(
    "wait",
    cls=Command,
    short_help="Wait for a workflow to end.",
    example="torcctl wait --timeout 3600",
)
@click.option(
    "--timeout",
    type=Seconds(),
    metavar="S",
    help="Give up after S seconds, with exit code 124.",
)
@pass_invocation
def command(invocation: Invocation, timeout: float | None) -> None:
    """Wait for a workflow to end.

    Exits with 0 if it completed, with 4 if it failed or was canceled, with 124 if the time is over.
    """
    with deadline(timeout, "the workflow"):
        info = to_the_end(invocation, invocation.workflow_key)
    invocation.print_object(
        info,
        lambda: "\n".join(
            [
                f"workflow {info.key} {info.name} {info.status.value}: {counts(info)}",
                *failed_actions(info),
            ]
        ),
        said=True,
    )
    if info.status is not WorkflowStatus.COMPLETED:
        raise click.exceptions.Exit(exits.NOT_WELL)
