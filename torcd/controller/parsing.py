"""Values are looked at: small and light ones here, others by a process (`value_program`).

A large value takes up to thirty times its size while it is looked at, and Python does nothing else
meanwhile. Neither is the daemon's to spend: others wait for it.
"""

import subprocess
import sys

from torcd import errors, value
from torcd import value_program as program
from torcd.model import DataKey, Workflow
from torcd.value import Value

LARGE_BYTES = 1 << 20
"""It takes about as long to look at one as to start the process."""

PATIENCE_SECONDS = 120.0
"""For a few seconds' work, however busy the machine is."""


def parse(text: bytes, *, name: str, max_bytes: int) -> Value:
    """As `torcd.value.parse`; blocks."""
    text = text.strip(value.WHITE_SPACE)
    if not LARGE_BYTES < len(text) <= max_bytes or value.is_light(text):
        return value.parse(text, name=name, max_bytes=max_bytes)
    answer = _ask(text, max_bytes)
    if not answer.startswith("-"):
        return Value(text, answer)
    problem = answer[1:]
    raise errors.InvalidValue(
        f"the value of {name!r} is refused: {problem}", name=name, problem=problem
    )


def given_values(workflow: Workflow, max_bytes: int) -> dict[DataKey, Value]:
    """Those that its spec gives; blocks. Raises InvalidValue, and TooLarge."""
    return {
        data.key: parse(bytes(data.data), name=data.name, max_bytes=max_bytes)
        for data in workflow.user_data
        if data.data is not None
    }


def _ask(text: bytes, max_bytes: int) -> str:
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", program.__name__, str(max_bytes)],
            input=text,
            stdout=subprocess.PIPE,
            # What it says when it dies may be about the value, and so is not for a log.
            stderr=subprocess.DEVNULL,
            cwd="/",
            timeout=PATIENCE_SECONDS,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        return f"-the process that looks at it has ended ({error.returncode})"
    except subprocess.TimeoutExpired:
        return f"-it could not be looked at within {PATIENCE_SECONDS:.0f} s"
    except OSError as error:
        return f"-the process that looks at it cannot be started ({error.strerror})"
    return done.stdout.decode()
