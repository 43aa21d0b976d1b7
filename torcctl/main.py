"""The full command line: the commands, and what becomes of their errors.

No traceback reaches a user. An error that torcd raises on purpose is printed with its code's exit
code; wrong usage is 2; a closed pipe ends quietly; anything else is a bug, which says how to report
it and leaves its traceback in a file (or on the terminal with TORCCTL_DEBUG=1).
"""

import os
import sys

import click

import torcd
from torcctl import commands, exits
from torcctl.invocation import Invocation
from torcctl.options import Group, examples, unknown_command
from torcd.errors import TorcError


class _Torcctl(Group):
    """The commands are imported one at a time, by name."""

    hides_global_options = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        return commands.NAMES

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return commands.load(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not args[0].startswith("-") and args[0] not in (*commands.NAMES, *commands.ALIASES):
            raise unknown_command(ctx, args[0], [*commands.NAMES, *commands.ALIASES])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in commands.SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(section.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        examples(formatter, "torcctl run diamond.yaml\ntorcctl logs postprocess --stderr")
        formatter.write_paragraph()
        formatter.write_text(
            "The options may also stand after the command. "
            "'torcctl COMMAND --help' says more about one command."
        )


_HELP = """Run workflows of command-line jobs on this machine.

torcctl speaks to torcd, the daemon that runs the jobs; 'torcctl run' starts one if none is there.
Where a job or a value is asked for, its name or its key will do.
"""

_COMPLETE = "_TORCCTL_COMPLETE"
"""What a shell sets that wants words completed; see `completions`."""

cli = _Torcctl(
    "torcctl",
    help=_HELP,
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            help="Print the version.",
            callback=lambda ctx, _, value: _print_version(ctx) if value else None,
        ),
    ],
    no_args_is_help=True,
)


def _print_version(ctx: click.Context) -> None:
    click.echo(f"torcctl {torcd.__version__}")
    ctx.exit()


def run(words: list[str]) -> int:
    """Run the command line and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A name that the terminal's encoding lacks is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    invocation = Invocation()
    try:
        if _COMPLETE in os.environ:
            from click.shell_completion import shell_complete

            return shell_complete(cli, {}, "torcctl", _COMPLETE, os.environ[_COMPLETE])
        # Not cli.main: it has ideas of its own about a closed pipe and Ctrl-C.
        with cli.make_context("torcctl", list(words), obj=invocation) as ctx:
            cli.invoke(ctx)
        return exits.DONE
    except click.exceptions.Exit as e:
        return e.exit_code
    except click.exceptions.NoArgsIsHelpError as e:
        sys.stderr.write(e.format_message() + "\n")
        return exits.USAGE
    except click.ClickException as e:
        return _usage(e, words, invocation)
    except TorcError as e:
        return exits.report(e.code, e.message, e.facts, as_json=_as_json(invocation, words))
    except (KeyboardInterrupt, click.Abort):
        return exits.INTERRUPTED
    except BrokenPipeError:
        return exits.CLOSED_PIPE
    except OSError as e:
        if e.filename is None and not os.environ.get("TORCCTL_DEBUG"):
            return exits.cannot_go_on(e, as_json=_as_json(invocation, words))
        return _bug(e, invocation, words)
    except Exception as e:  # noqa: BLE001 - the border: what comes here is a bug
        return _bug(e, invocation, words)
    finally:
        invocation.close()


def _usage(error: click.ClickException, words: list[str], invocation: Invocation) -> int:
    message = error.format_message()
    ctx = getattr(error, "ctx", None)
    if ctx is not None:
        message += f"\nTry '{ctx.command_path} --help'."
    return exits.report("Usage", message, {}, as_json=_as_json(invocation, words))


def _bug(error: Exception, invocation: Invocation, words: list[str]) -> int:
    import traceback

    text = "".join(traceback.format_exception(error))
    if os.environ.get("TORCCTL_DEBUG"):
        sys.stderr.write(text)
        where = "above"
    else:
        import tempfile

        with tempfile.NamedTemporaryFile(
            "w", prefix="torcctl-", suffix=".traceback", delete=False
        ) as file:
            file.write(text)
        where = f"in {file.name}"
    message = (
        f"this is a bug in torcctl {torcd.__version__}: {type(error).__name__}: {error}\n"
        f"Please report it with the command you gave and the traceback {where}."
    )
    return exits.report("Internal", message, {}, as_json=_as_json(invocation, words))


def _as_json(invocation: Invocation, words: list[str]) -> bool:
    """How to print an error, also one in the command line or in the settings themselves."""
    if invocation.format_option is not None:
        return invocation.format_option == "json"
    try:
        return invocation.as_json or "--json" in words or "-Fjson" in words
    except TorcError:
        return False
