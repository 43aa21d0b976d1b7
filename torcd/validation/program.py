"""The program that checks values against schemas, as a process of its own.

It gets requests on standard input: how long the schema and the value are (`REQUEST`), then both
as JSON; NO_VALUE stands for no value, only the schema. It answers on standard output, after the
answer's length (`ANSWER`), with null or with {"message", "path", "is_about"}. It ends with its
standard input. What is not answered has used up its time or its memory.
"""

import json
import resource
import signal
import struct
import sys
from decimal import Decimal, InvalidOperation
from typing import BinaryIO, Literal

Subject = Literal["schema", "value", "limits"]

REQUEST = struct.Struct("!II")
ANSWER = struct.Struct("!I")
NO_VALUE = 0xFFFFFFFF

CPU_SECONDS = 5
"""For one check. The largest values take up to two seconds, if they are all small numbers."""

SIGNALS_OF_TIME = (-signal.SIGPROF, -signal.SIGXCPU)
"""As return codes: its time was used up."""

MAX_MEMORY_BYTES = 4 * 1024**3
"""Address space. The largest value takes a quarter of it, if it is all brackets."""

MAX_COMPILED = 100
"""Schemas that are kept compiled; patterns may take some MiB each."""

MAX_BACKTRACKS = 1_000_000
"""Of a pattern that looks ahead or refers back; all others take linear time. Some 0.1 s."""

_MAX_INTEGER_DIGITS = 1_000
"""An integer of more is a Decimal: Python's own take quadratic time to be read."""

_EXACT_CHARACTERS = 16
"""With the point: 15 digits."""


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    for total in sys.argv[1:]:
        resource.setrlimit(resource.RLIMIT_CPU, (int(total), resource.RLIM_INFINITY))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal; that is for who asks
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    serve(sys.stdin.buffer, sys.stdout.buffer)


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    from torcd.validation.library import compiled

    while len(head := requests.read(REQUEST.size)) == REQUEST.size:
        schema_size, size = REQUEST.unpack(head)
        schema = requests.read(schema_size)
        text = None if size == NO_VALUE else requests.read(size)
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        try:
            found = compiled(schema)
            problem = found.problem
            if problem is None and text is not None:
                problem = found.problem_of(read_value(text))
        except MemoryError:
            problem = ("it needs too much memory", [], "limits")
        except Unreadable as unreadable:
            problem = (str(unreadable), [], "limits")
        signal.setitimer(signal.ITIMER_PROF, 0)
        answer = b"null"
        if problem is not None:
            fields = dict(zip(("message", "path", "is_about"), problem, strict=True))
            answer = json.dumps(fields).encode()
        answers.write(ANSWER.pack(len(answer)) + answer)
        answers.flush()


class Unreadable(Exception):
    """A value that cannot be looked at, though it is JSON."""


def read_value(text: bytes) -> object:
    """The value, with its numbers exact. Raises Unreadable."""
    return json.loads(text, parse_int=_integer, parse_float=_fraction)


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _MAX_INTEGER_DIGITS else Decimal(text)


def _fraction(text: str) -> float | Decimal:
    number = float(text)
    # As many digits as any float keeps, and not so many zeros that it would be none or infinite.
    if len(text) <= _EXACT_CHARACTERS and 1e-200 < abs(number) < 1e200:
        return number
    try:
        return Decimal(text)
    except InvalidOperation:
        raise Unreadable("a number's exponent is too large") from None
