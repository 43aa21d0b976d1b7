"""`torcctl validate`: what is wrong with a spec, without a daemon."""

from typing import Any

import click

from torcctl import exits, specfile
from torcctl.invocation import Invocation, write
from torcctl.options import Command, pass_invocation
from torcctl.render import jsontext
from torcctl.render.problems import problem_lines, shape
from torcd.errors import InvalidSpec


@click.command(
    "validate",
    cls=Command,
    short_help="Check a workflow spec.",
    example="torcctl validate diamond.yaml",
)
@specfile.argument
@specfile.format_option
@pass_invocation
def command(invocation: Invocation, spec: str, spec_format: str | None) -> None:
    """Check a workflow spec.

    Prints every problem with its place and what to write instead, and exits with 1 if there are
    errors. Needs no daemon, creates nothing, and does not look for files on disk.
    """
    items: list[dict[str, Any]]
    try:
        file = specfile.read(spec, spec_format, compare_with_machine=True)
    except InvalidSpec as e:
        valid = False
        more = e.facts.get("more")
        items = [shape(item) for item in _problems(e)]
    else:
        valid = True
        more = 0
        items = [shape(warning) for warning in file.document.warnings]
    if invocation.as_json:
        write(jsontext.document({"valid": valid, "items": items}))
    else:
        write(problem_lines(items).encode(errors="backslashreplace"))
        if more:
            invocation.say(f"… and {more} more problems")
        if valid:
            invocation.say(f"{spec}: valid")
    if not valid:
        raise click.exceptions.Exit(exits.REFUSED)


def _problems(error: InvalidSpec) -> list[dict[str, str | int]]:
    items = error.facts.get("problems")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
