"""`torcctl delete`: a workflow and all that is known of it."""

import sys

import click

from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcd.protocol import manager as m


@click.command(
    "delete",
    cls=Command,
    short_help="Delete a workflow with its results, values and logs.",
    example="torcctl delete -k 3\ntorcctl delete -k 3 --force",
)
@click.option("--force", is_flag=True, help="Cancel it first if it is not over.")
@click.option("--yes", is_flag=True, help="Do not ask on a terminal.")
@pass_invocation
def command(invocation: Invocation, force: bool, yes: bool) -> None:
    """Delete a workflow with its results, values and logs.

    One that is not over is refused unless --force cancels it. Files that its jobs have written
    elsewhere stay. On a terminal you are asked first.
    """
    key = invocation.workflow_key
    if not yes and sys.stdin.isatty():
        info = invocation.call(m.GetWorkflow(workflow_key=key)).workflow
        key = info.key
        question = f"delete workflow {info.key} {info.name} ({info.status.value})?"
        click.confirm(question, abort=True, err=True)
    deleted = invocation.call(m.Delete(workflow_key=key, force=force or None))
    invocation.print_object(
        deleted, lambda: f"workflow {deleted.key} {deleted.name} deleted", said=True
    )
