"""Whether JSON values fit the JSON Schemas (2020-12) that users gave for them.

A schema is a small program of a user's, and it may run for ever: a dozen lines of `$ref` have a
value looked at a thousand million times, and a pattern of a few characters takes a minute for a
long text. While the library is at it nothing else of its process runs. So it runs in a process of
its own (`program`), which the kernel ends when one check has used up its time or its memory. That
process is started when there is something to check, and no sooner; it keeps the compiled schemas.
"""

import signal
import socket
import subprocess
import sys
from contextlib import suppress
from threading import Lock
from types import TracebackType

import msgspec

from torcd import errors
from torcd.validation import program

MAX_SCHEMA_BYTES = 256 * 1024
"""The largest schemas that people publish have less; it goes along with each value."""

PATIENCE_SECONDS = 120.0
"""For the checking process to do a few seconds' work, however busy the machine is. Only one that
was stopped by a signal takes longer."""


class Problem(msgspec.Struct, frozen=True):
    """Why something is no schema, or a value does not fit one."""

    message: str
    """Without the place. Says what was expected, and nothing of a value but its type or size."""
    path: tuple[str | int, ...] = ()
    """The place in the value or in the schema."""
    is_about: program.Subject = "value"
    """`limits`: the check was given up on, and nobody knows."""


class _Died(Exception):
    """The checking process has."""


class Checker:
    """Checks one thing after the other, in any thread; each call blocks until it is checked.

    `total_cpu_seconds` bounds what all checks together may take (None: no bound). It may be used
    again after it was closed.
    """

    def __init__(self, total_cpu_seconds: int | None = None) -> None:
        self._arguments = [] if total_cpu_seconds is None else [str(total_cpu_seconds)]
        self._lock = Lock()
        self._process: _Process | None = None

    def __enter__(self) -> "Checker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            self._end()

    def check(self, schema: bytes, text: bytes | None = None) -> Problem | None:
        """Whether it is a schema, and the value (strict JSON) fits it; None if all is well."""
        if len(schema) > MAX_SCHEMA_BYTES:
            message = f"it has {len(schema)} bytes, and {MAX_SCHEMA_BYTES} are allowed"
            return Problem(message, is_about="schema")
        with self._lock:
            is_new = self._process is None
            try:
                return self._ask(schema, text)
            except _Died as death:
                if is_new or death.args[0] in program.SIGNALS_OF_TIME:
                    return Problem(_describe(death), is_about="limits")
            # It may have died of what others asked it before.
            try:
                return self._ask(schema, text)
            except _Died as death:
                return Problem(_describe(death), is_about="limits")

    def require_fit(self, schema: bytes, text: bytes, *, name: str) -> None:
        """Raises InvalidValue for a value that does not fit, or cannot be checked."""
        problem = self.check(schema, text)
        if problem is None:
            return
        match problem.is_about:
            case "value":
                said = f"{place(problem.path)}: {problem.message}"
                message = f"the value of {name!r} does not fit its schema: {said}"
            case "limits":
                said = problem.message
                message = f"the value of {name!r} cannot be checked against its schema: {said}"
            case "schema":
                said = f"{place(problem.path, 'schema')}: {problem.message}"
                message = f"the value of {name!r} cannot be checked: its schema is none: {said}"
        raise errors.InvalidValue(message, name=name, problem=said)

    def _ask(self, schema: bytes, text: bytes | None) -> Problem | None:
        try:
            if self._process is None:
                self._process = _Process(self._arguments)
            answer = self._process.ask(schema, text)
        except OSError as error:
            return_code = self._end()
            raise _Died(return_code, error) from None
        return msgspec.json.decode(answer, type=Problem | None)

    def _end(self) -> int | None:
        process, self._process = self._process, None
        return None if process is None else process.end()


class _Process:
    """One run of the program. Its methods raise OSError when it has died or does not answer."""

    def __init__(self, arguments: list[str]) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            try:
                # What it says when it dies may be about a value, and so is not for a log.
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", __name__, *arguments],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                )
            except OSError:
                self._socket.close()
                raise
        self._socket.settimeout(PATIENCE_SECONDS)

    def ask(self, schema: bytes, text: bytes | None) -> bytes:
        size = program.NO_VALUE if text is None else len(text)
        self._socket.sendall(program.REQUEST.pack(len(schema), size) + schema + (text or b""))
        (size,) = program.ANSWER.unpack(self._receive(program.ANSWER.size))
        return self._receive(size)

    def _receive(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            more = self._socket.recv(size - len(received))
            if not more:
                raise ConnectionResetError("it has died")
            received += more
        return received

    def end(self) -> int:
        """Returns how it ended, as subprocess tells it."""
        self._socket.close()
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(0.0)
        try:
            # One that died is a zombie in a moment; one that lives has nothing more to do.
            return self._process.wait(_LAST_WORDS_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


_LAST_WORDS_SECONDS = 5.0


def _describe(death: _Died) -> str:
    return_code, error = death.args
    if isinstance(error, TimeoutError):
        return f"there was no answer within {PATIENCE_SECONDS:.0f} s"
    if return_code is None:
        return f"the process that checks cannot be started ({error.strerror})"
    if return_code in program.SIGNALS_OF_TIME:
        return f"it takes more than {program.CPU_SECONDS} s"
    if return_code < 0:
        name = signal.Signals(-return_code).name
        return f"it needs too much memory, or more levels than there may be ({name})"
    return f"the process that checks has ended with code {return_code}"


MAX_PLACE_CHARACTERS = 200


def place(path: tuple[str | int, ...], root: str = "data") -> str:
    """A place within a value, as people write it: `data.rows[3]["a b"]`."""
    text = root
    for step in path:
        if isinstance(step, str) and step.isidentifier():
            text += f".{step}"
        else:
            text += f"[{msgspec.json.encode(step).decode()}]"
    return text if len(text) <= MAX_PLACE_CHARACTERS else f"{text[: MAX_PLACE_CHARACTERS - 1]}…"
