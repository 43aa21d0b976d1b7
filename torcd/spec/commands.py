"""The final command of a job: placeholders, `cli_arg` and `invocation_script` worked in."""

import shlex
from collections.abc import Callable, Sequence
from functools import partial

from torcd.spec import placeholders
from torcd.spec.placeholders import Placeholder

Replacement = Callable[[Placeholder, int | None], str]
"""A placeholder's path or key, given also which word of a list it stands in."""


def assembled(
    command: str | tuple[str, ...],
    *,
    script: str,
    arguments: Sequence[str],
    replacement: Replacement,
) -> str | tuple[str, ...]:
    """The command as it is run: a text for the shell, or the words of a program.

    A script on one line stands before the command, one of several lines above it in the same
    shell; it makes a text of a list. `arguments` come last.
    """
    if isinstance(command, str):
        text = substituted(command, replacement)
        if arguments:
            text = f"{text.rstrip()} {shlex.join(arguments)}"
        return _with_script(script, text) if script else text
    words = [
        placeholders.substitute(word, partial(_in_word, replacement, n))
        for n, word in enumerate(command)
    ]
    words += arguments
    return _with_script(script, shlex.join(words)) if script else tuple(words)


def has_placeholders(command: str | tuple[str, ...]) -> bool:
    """Whether there may be some in it."""
    if isinstance(command, str):
        return "${" in command
    return any("${" in word for word in command)


def substituted(text: str, replacement: Replacement) -> str:
    """A text for the shell, with what its placeholders stand for in quotes."""
    return placeholders.substitute(text, lambda p: shlex.quote(replacement(p, None)))


def _in_word(replacement: Replacement, n: int, placeholder: Placeholder) -> str:
    return replacement(placeholder, n)


def _with_script(script: str, command: str) -> str:
    return f"{script}\n{command}" if "\n" in script else f"{script} {command}"
