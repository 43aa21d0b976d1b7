"""`torcctl apply`: an edited spec into a workflow there is."""

import sys

import click
import msgspec

from torcctl import specfile
from torcctl.invocation import Invocation
from torcctl.options import Command, pass_invocation
from torcctl.progress import ReadingLine
from torcctl.render.difference import (
    CHANGES,
    EDITED,
    applied_text,
    question,
    unchanged_text,
    worth_telling,
    would_text,
)
from torcd.errors import InvalidSpec, MissingInputs
from torcd.protocol import manager as m


@click.command(
    "apply",
    cls=Command,
    short_help="Take an edited spec into a workflow.",
    example="torcctl apply diamond.yaml -k 3 --dry-run\ntorcctl apply diamond.yaml -k 3 --yes",
)
@specfile.argument
@click.option("--dry-run", is_flag=True, help="Say what would be done, and why; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask; needed without a terminal.")
@specfile.format_option
@pass_invocation
def command(
    invocation: Invocation, spec: str, dry_run: bool, yes: bool, spec_format: str | None
) -> None:
    """Take an edited spec into a workflow: print the difference, ask, and carry it out in one step.

    Jobs, files and user_data are known by their names, and keep what became of them. Results of
    what is removed are kept until the workflow is deleted. No difference: nothing changes.

    A workflow that is over begins a new run of all that is out of date, as with 'torcctl restart'.
    In one that is not over, new jobs and changed ones that have not started run in the run there
    is. What runs is not changed: an edit that would is refused.
    """
    file = specfile.read(spec, spec_format)
    for problem in file.document.warnings:
        invocation.say(str(problem))
    request = m.Apply(
        workflow=msgspec.Raw(msgspec.json.encode(file.document.spec)),
        directory=file.directory,
        workflow_key=invocation.workflow_key,
    )
    if not yes and not dry_run and not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on: give --yes, or --dry-run.")
    if dry_run or not yes:
        would = _ask(invocation, file, msgspec.structs.replace(request, dry_run=True))
        if dry_run:
            _show(invocation, would)
            return
        if would.changes:
            _show(invocation, would, said=True)
            click.confirm(question(would), abort=True, err=True)
        request = msgspec.structs.replace(request, workflow_key=would.workflow_key)
    done = _ask(invocation, file, request)
    if yes and not invocation.as_json and done.applied:
        _print(invocation, done)
    invocation.print_object(
        done, lambda: applied_text(done) if done.applied else unchanged_text(done), said=True
    )


def _ask(invocation: Invocation, file: specfile.SpecFile, request: m.Apply) -> m.Applied:
    """The answer; while files are read, how far that is, on a terminal."""
    try:
        with ReadingLine(quiet=invocation.quiet) as line:
            for reply in invocation.stream(request):
                if reply.progress is None:
                    break
                line.show(reply.progress)
            else:
                raise AssertionError("a stream ends with an answer")
    except (InvalidSpec, MissingInputs) as e:
        # What only the daemon could see; it does not know where the spec comes from.
        raise type(e)(f"{file.path}: {e.message}", **e.facts) from None
    for warning in reply.warnings:
        invocation.say(f"warning: {warning}")
    return reply


def _show(invocation: Invocation, would: m.Applied, *, said: bool = False) -> None:
    """What would be done."""
    if invocation.as_json and not said:
        invocation.print_object(would, str)
        return
    if not would.changes:
        invocation.say(unchanged_text(would))
        return
    if not invocation.as_json:
        _print(invocation, would)
    invocation.say(would_text(would))


def _print(invocation: Invocation, reply: m.Applied) -> None:
    invocation.print_list(reply, CHANGES, reply.changes, empty="")
    invocation.print_further(EDITED, worth_telling(reply))
