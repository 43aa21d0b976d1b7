"""`torcctl completions`: a script for the shell."""

import click
from click.shell_completion import get_completion_class

from torcctl.invocation import write
from torcctl.options import Command


@click.command(
    "completions",
    cls=Command,
    short_help="Print a script that completes torcctl's commands.",
    example="torcctl completions bash > ~/.local/share/bash-completion/completions/torcctl",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a script that completes torcctl's commands."""
    complete = get_completion_class(shell)
    if complete is None:
        raise click.UsageError(f"click cannot complete for {shell}.")
    root = ctx.find_root().command
    write(complete(root, {}, "torcctl", "_TORCCTL_COMPLETE").source().encode())
