"""Commands that a shell would only hand on: a program and its words, with nothing in it that means
something to bash.

Such a command needs no shell, whose start takes longer than many a job. What counts as plain is
named, not what doesn't: letters, digits and a few signs that bash takes as they are wherever they
stand. Quotes, globs, `$`, `~`, redirections, comments, several lines and all that is not ASCII go
to the shell, and so do bash's own commands and words, also where a program of the same name exists.
"""

import os
import re

_SIGNS = "_./:,+@%=-"
_PLAIN = re.compile(
    rf"[ \t]*[A-Za-z0-9_./+-][A-Za-z0-9{_SIGNS}]*(?:[ \t]+[A-Za-z0-9{_SIGNS}]+)*[ \t]*"
)

SHELL_WORDS = frozenset(
    """
    . : [ alias bg bind break builtin caller cd command compgen complete compopt continue declare
    dirs disown echo enable eval exec exit export false fc fg getopts hash help history jobs kill
    let local logout mapfile popd printf pushd pwd read readarray readonly return set shift shopt
    source suspend test times trap true type typeset ulimit umask unalias unset wait case coproc do
    done elif else esac fi for function if in select then time until while
    """.split()  # noqa: SIM905
)
"""What bash does itself: its builtins and its keywords."""


def is_bash(shell: str) -> bool:
    """No other shell is known so well."""
    return os.path.basename(shell) == "bash"


def words(command: str) -> tuple[str, ...] | None:
    """The program and its words if bash would do nothing but run it; None: it is bash's.

    What is exported to it may still change what the command means: whoever runs it has to look.
    """
    if _PLAIN.fullmatch(command) is None:
        return None
    found = tuple(command.split())
    # An = in the first word makes it an assignment.
    return None if found[0] in SHELL_WORDS or "=" in found[0] else found
