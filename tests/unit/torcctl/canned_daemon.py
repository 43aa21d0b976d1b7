"""A small real server on a Unix socket that answers as it was told to, in threads."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from torcd.errors import MethodNotFound, TorcError
from torcd.model import JobStatus, Reason
from torcd.protocol import envelope, registry
from torcd.protocol import manager as m
from torcd.protocol import user_data as u
from torcd.protocol.framing import Splitter

Answer = msgspec.Struct | TorcError
Script = Answer | Iterable[Answer] | Callable[[dict[str, Any]], Any]

HANG_UP = object()
"""Given instead of an answer: the connection is closed."""

SILENCE = object()
"""Given instead of an answer: there will be one, and it never comes."""


class CannedDaemon:
    """`answer` says what is answered to a method; `calls` are what was asked, in order."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.raw: list[bytes] = []
        self._scripts: dict[str, Any] = {}
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(16)
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def answer(self, parameters: type[msgspec.Struct], script: Any) -> None:
        """A struct, an error, a list of those (a stream), or a function of the parameters that
        returns one of these; HANG_UP in a list ends the connection, SILENCE the answers."""
        self._scripts[registry.full_name(parameters)] = script

    def asked(self, parameters: type[msgspec.Struct]) -> list[dict[str, Any]]:
        """The parameters of each call of that method."""
        name = registry.full_name(parameters)
        return [given for method, given in self.calls if method == name]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        splitter = Splitter()
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                for message in splitter.feed(data):
                    self.raw.append(message)
                    call = json.loads(message, parse_int=_number)
                    method, parameters = call["method"], call["parameters"]
                    self.calls.append((method, parameters))
                    for reply in self._replies(method, parameters):
                        if reply is None:
                            return
                        connection.sendall(reply)

    def _replies(self, method: str, parameters: dict[str, Any]) -> Iterator[bytes | None]:
        script = self._scripts.get(method, MethodNotFound(method))
        if callable(script):
            script = script(parameters)
        answers = [script] if isinstance(script, Answer) or script is HANG_UP else list(script)
        for position, answer in enumerate(answers, start=1):
            if answer is HANG_UP:
                yield None
            elif answer is SILENCE:
                return
            elif isinstance(answer, TorcError):
                yield envelope.encode_error(answer)
            else:
                yield envelope.encode_reply(answer, continues=position < len(answers))


def _number(digits: str) -> int | str:
    return int(digits) if len(digits) < 1000 else digits


# Things to answer with.

STATES = (
    "blocked ready pending running completed failed canceled terminated disabled".split()  # noqa: SIM905
)


def workflow(status: str = "running", **changes: Any) -> m.WorkflowInfo:
    jobs = dict.fromkeys(STATES, 0) | changes.pop("jobs", {})
    fields: dict[str, Any] = {
        "key": "7",
        "name": "diamond",
        "status": status,
        "run_id": 1,
        "jobs": jobs,
        "description": None,
        "user": "ada",
        "directory": "/home/ada",
        "max_parallel_jobs": 2,
        "stopping": False,
        "submitted_at": "2026-01-31T12:00:00.000001Z",
        "started_at": "2026-01-31T12:00:00.100000Z",
        "ended_at": None if status == "running" else "2026-01-31T12:01:05.100000Z",
    }
    return msgspec.convert(fields | changes, m.WorkflowInfo)


def job(name: str, status: str = "completed", **changes: Any) -> m.JobInfo:
    fields: dict[str, Any] = {
        "key": "8",
        "name": name,
        "status": status,
        "return_code": None,
        "reason": None,
        "message": None,
        "stopping": False,
        "attempt_id": 1,
        "run_id": 1,
        "started_at": None,
        "ended_at": None,
        "command": "true",
        "depends_on": [],
        "input_files": [],
        "output_files": [],
        "input_user_data": [],
        "output_user_data": [],
        "cancel_on_blocking_job_failure": True,
        "supports_termination": False,
        "priority": 0,
        "cwd": "/home/ada",
        "stdio": "separate",
    }
    return msgspec.convert(fields | changes, m.JobInfo)


def result(job_name: str, status: str = "completed", **changes: Any) -> m.Result:
    fields: dict[str, Any] = {
        "job_key": "8",
        "job_name": job_name,
        "run_id": 1,
        "attempt_id": 1,
        "status": status,
        "return_code": 0,
        "reason": None,
        "message": None,
        "started_at": "2026-01-31T12:00:00.000000Z",
        "ended_at": "2026-01-31T12:00:01.500000Z",
        "cpu_seconds": 0.25,
        "peak_memory_bytes": 12 * 1024 * 1024,
        "stdout": None,
        "stderr": None,
    }
    return msgspec.convert(fields | changes, m.Result)


def record(data: str | None, **changes: Any) -> u.RecordReply:
    fields: dict[str, Any] = {
        "key": "9",
        "name": "n",
        "workflow_key": "7",
        "is_ephemeral": False,
        "revision": 0 if data is None else 3,
    }
    if data is not None:
        fields["data"] = msgspec.Raw(data.encode())
    return u.RecordReply(u.Record(**(fields | changes)))


def daemon_status(pid: int) -> m.DaemonStatus:
    return m.DaemonStatus(
        pid=pid,
        warden_pid=None,
        version="1.0",
        socket="/run/s",
        state_dir="/state",
        started_at="2026-01-31T12:00:00.000000Z",
        workflows=1,
        jobs=2,
    )


def failed_action() -> m.ActionInfo:
    """Of two commands, the first of which has failed."""
    return m.ActionInfo(
        number=1,
        trigger="on_workflow_complete",
        jobs=[],
        status=JobStatus.FAILED,
        stopping=False,
        run_id=1,
        commands=[
            m.ActionCommand(
                number=1,
                command="tar",
                status=JobStatus.FAILED,
                return_code=3,
                reason=Reason.EXIT,
                message="exited with status 3",
                started_at="2026-01-31T12:00:00.000000Z",
                ended_at="2026-01-31T12:00:01.500000Z",
                cpu_seconds=0.1,
                peak_memory_bytes=1024,
                stdout="/logs/7/action-1.1.1.out",
                stderr="/logs/7/action-1.1.1.err",
            ),
            m.ActionCommand(
                number=2,
                command="rm",
                status=JobStatus.CANCELED,
                return_code=None,
                reason=None,
                message=None,
                started_at=None,
                ended_at=None,
                cpu_seconds=None,
                peak_memory_bytes=None,
                stdout=None,
                stderr=None,
            ),
        ],
    )
