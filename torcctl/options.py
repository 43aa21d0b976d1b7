"""Commands that take torcctl's own options too, wherever one types them.

`torcctl -F json status` and `torcctl status -F json` are the same: each command carries the global
options, out of sight in its help. The one that comes last counts.
"""

import math
from collections.abc import Callable
from typing import Any

import click

from torcctl.invocation import Invocation

pass_invocation = click.make_pass_decorator(Invocation)


class Seconds(click.FloatRange):
    """A time that one can wait: from 0, and not for ever."""

    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        seconds = float(super().convert(value, param, ctx))
        if not math.isfinite(seconds):
            self.fail(f"{value!r} is no number of seconds.", param, ctx)
        return seconds


def _keep(attribute: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        invocation = ctx.find_object(Invocation)
        if value is None or value is False or invocation is None:
            return
        if value == "":
            raise click.BadParameter("must not be empty.", ctx, parameter)
        setattr(invocation, attribute, value)

    return keep


def global_options(*, hidden: bool) -> list[click.Option]:
    """-k, -F, --json, --socket and -q, each kept in the Invocation of the context.

    Their names within click differ from all names of a command's own parameters.
    """
    return [
        click.Option(
            ["-k", "--key", "global_key"],
            metavar="KEY",
            help="The workflow. Default: $TORC_WORKFLOW_KEY, then the newest one.",
            callback=_keep("key_option"),
            expose_value=False,
            hidden=hidden,
        ),
        click.Option(
            ["-F", "--format", "global_format"],
            type=click.Choice(["table", "json"]),
            help="How to print. JSON is complete and stable.",
            callback=_keep("format_option"),
            expose_value=False,
            hidden=hidden,
        ),
        click.Option(
            ["--json", "global_json"],
            is_flag=True,
            flag_value="json",
            default=None,
            help="Short for -F json.",
            callback=_keep("format_option"),
            expose_value=False,
            hidden=hidden,
        ),
        click.Option(
            ["--socket", "global_socket"],
            metavar="PATH",
            help="The daemon's socket. Default: $TORC_SOCKET, then the user's, then the system's.",
            callback=_keep("socket_option"),
            expose_value=False,
            hidden=hidden,
        ),
        click.Option(
            ["-q", "--quiet", "global_quiet"],
            is_flag=True,
            help="Print data and errors only.",
            callback=_keep("quiet"),
            expose_value=False,
            hidden=hidden,
        ),
    ]


_SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Command(click.Command):
    """A command of torcctl. Its help may end with examples: `example`, a line each."""

    def __init__(self, *args: Any, example: str | None = None, **kwargs: Any) -> None:
        kwargs["context_settings"] = _SETTINGS | kwargs.get("context_settings", {})
        super().__init__(*args, **kwargs)
        self.params += global_options(hidden=True)
        self._example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        examples(formatter, self._example)


class Group(click.Group):
    """A command with commands below it."""

    command_class = Command
    hides_global_options = True

    def __init__(self, *args: Any, example: str | None = None, **kwargs: Any) -> None:
        kwargs["context_settings"] = _SETTINGS | kwargs.get("context_settings", {})
        super().__init__(*args, **kwargs)
        self.params += global_options(hidden=self.hides_global_options)
        self._example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        examples(formatter, self._example)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise unknown_command(ctx, args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


def unknown_command(ctx: click.Context, name: str, known: list[str]) -> click.UsageError:
    """There is no such command; names the nearest."""
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return click.UsageError(f"no such command: '{name}'.{hint}", ctx)


def examples(formatter: click.HelpFormatter, text: str | None) -> None:
    if not text:
        return
    with formatter.section("Examples" if "\n" in text else "Example"), formatter.indentation():
        for line in text.splitlines():
            formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
