"""`torcctl plan`: what a spec would run, in which order, and why, without a daemon; or what a
restart of a workflow would run."""

import click

from torcctl import specfile
from torcctl.commands import restart
from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcctl.render.plan import ACTION_COLUMNS, job_columns
from torcd.protocol import manager as m
from torcd.spec import plan


@click.command(
    "plan",
    cls=Command,
    short_help="Show what a spec would run, in which order.",
    example="torcctl plan diamond.yaml\ntorcctl plan diamond.yaml --json\ntorcctl plan -k 12",
)
@click.argument("spec", metavar="[SPEC]", required=False)
@specfile.format_option
@pass_invocation
def command(invocation: Invocation, spec: str | None, spec_format: str | None) -> None:
    """Show what a spec would run, in which order, and what each job waits for and why.

    Jobs of one stage could run at the same time, after the stages before. The actions come last,
    each command in a line. With -F json, all there is to know of the jobs after parameters,
    regexes and placeholders. Needs no daemon, creates nothing, and does not look for files on disk.

    Without SPEC, and with -k KEY: show what a restart of that workflow would run, and why, as
    'torcctl restart --dry-run' does.
    """
    if spec is None:
        if invocation.key_option is None:
            raise click.UsageError("name a SPEC, or a workflow with -k.")
        restart.tell(
            invocation,
            restart.ask(invocation, m.Restart(workflow_key=invocation.key_option, dry_run=True)),
        )
        return
    file = specfile.read(spec, spec_format, compare_with_machine=True)
    for problem in file.document.warnings:
        invocation.say(str(problem))
    found = plan(file.document.spec, directory=file.directory, default_name=file.default_name)
    invocation.print_list(found, job_columns(found), found.items, empty="nothing would run")
    commands = [(action, text) for action in found.actions for text in action.commands]
    invocation.print_further(ACTION_COLUMNS, commands)
