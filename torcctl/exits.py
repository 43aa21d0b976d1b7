"""Exit codes, and how an error looks.

An error is one line (or a few) on standard error, `torcctl: …`; with `-F json` it is one object,
`{"error": code, "message": …}` and the facts, on standard error too. Light on purpose: the quick
path of `data get` imports it.
"""

from __future__ import annotations

import sys

from torcctl.render.text import clean_lines

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing and collections cost time
    from collections.abc import Mapping

DONE = 0
REFUSED = 1
"""Refused or failed; the reason is on standard error."""
USAGE = 2
NO_DAEMON = 3
NOT_WELL = 4
"""The workflow that was run or waited for did not complete well."""
TIMED_OUT = 124
"""As timeout(1) has it."""
INTERRUPTED = 130
CLOSED_PIPE = 141
"""As a program has it that SIGPIPE ends: nobody reads the output any more."""

_BY_CODE = {"NoDaemon": NO_DAEMON, "Usage": USAGE, "io.torcd.Manager.TimedOut": TIMED_OUT}


def exit_code(error: str) -> int:
    """The exit code for an error's code."""
    return _BY_CODE.get(error, REFUSED)


def report(error: str, message: str, facts: Mapping[str, object], *, as_json: bool) -> int:
    """Print an error and return the exit code for it."""
    if as_json:
        import json

        text = json.dumps({"error": error, "message": message, **facts})
    else:
        text = f"torcctl: {clean_lines(message)}"
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
    return exit_code(error)


def cannot_go_on(error: OSError, *, as_json: bool) -> int:
    """Print an error of the machine, a full disk behind standard output for example."""
    return report("Failed", f"cannot go on: {error.strerror or error}", {}, as_json=as_json)
