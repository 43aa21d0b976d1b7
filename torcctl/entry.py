"""The console script: the quick path where it will do, the full command line otherwise."""

import gc
import os
import sys

from torcctl import exits, fast


def main() -> None:
    """Run torcctl with the arguments of this process, and exit."""
    _open_closed_streams()
    words = sys.argv[1:]
    try:
        code = run(words)
    except KeyboardInterrupt:
        code = exits.INTERRUPTED
    except BrokenPipeError:
        code = exits.CLOSED_PIPE
    try:
        sys.stdout.flush()
    except OSError as e:
        # What is left in the buffer can go nowhere; Python would complain about that at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(e, BrokenPipeError):
            code = exits.CLOSED_PIPE
        elif code == exits.DONE:
            code = exits.cannot_go_on(e, as_json="--json" in words)
    try:  # noqa: SIM105 - contextlib would cost a job's script more than this
        sys.stderr.flush()
    except OSError:
        pass
    # Taking all modules apart, to give the memory back to a system that takes it back anyway, is a
    # tenth of what a command costs.
    os._exit(code)


def _open_closed_streams() -> None:
    """Where the shell has closed one (`>&-`), nobody wants to see what goes there. Without this its
    number would become a socket's, and there would be nothing to write to."""
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(spare)
        # Standard input stays closed for who wants to read it: that is no end of a file.
        sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
        sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def run(words: list[str]) -> int:
    """Run torcctl with these arguments and return the exit code."""
    for position, word in enumerate(words, start=1):
        # Everything goes to the daemon as JSON sooner or later, and JSON is UTF-8.
        try:
            word.encode()
        except UnicodeEncodeError:
            message = f"argument {position} is not UTF-8: {word!a}"
            return exits.report("Usage", message, {}, as_json="--json" in words)
    code = fast.perform(words, os.environ)
    if code is not None:
        return code
    gc.disable()  # what is imported stays
    from torcctl.main import run as run_fully

    gc.enable()
    return run_fully(words)
