"""`torcctl plan`: what a spec would run, in which order, and why; without a daemon."""

import click

from torcctl import specfile
from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcctl.render.plan import ACTION_COLUMNS, job_columns
from torcd.spec import plan


@click.command(
    "plan",
    cls=Command,
    short_help="Show what a spec would run, in which order.",
    example="torcctl plan diamond.yaml\ntorcctl plan diamond.yaml --json",
)
@specfile.argument
@specfile.format_option
@pass_invocation
def command(invocation: Invocation, spec: str, spec_format: str | None) -> None:
    """Show what a spec would run, in which order, and what each job waits for and why.

    Jobs of one stage could run at the same time, after the stages before. The actions come last,
    each command in a line. With -F json, all there is to know of the jobs after parameters,
    regexes and placeholders. Needs no daemon, creates nothing, and does not look for files on disk.
    """
    file = specfile.read(spec, spec_format, compare_with_machine=True)
    for problem in file.document.warnings:
        invocation.say(str(problem))
    found = plan(file.document.spec, directory=file.directory, default_name=file.default_name)
    invocation.print_list(found, job_columns(found), found.items, empty="nothing would run")
    commands = [(action, text) for action in found.actions for text in action.commands]
    invocation.print_further(ACTION_COLUMNS, commands)
