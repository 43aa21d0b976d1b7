"""A daemon made of a script: a real socket, real bytes, and answers as bad as a test wants them."""

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


class Peer:
    """The daemon's end of one connection."""

    def __init__(self, unix: socket.socket) -> None:
        self.unix = unix
        self.gone = threading.Event()
        """Set when the client has closed it."""

    def raw(self, data: bytes) -> None:
        self.unix.sendall(data)

    def reply(self, *, continues: bool = False, **parameters: Any) -> None:
        message: dict[str, Any] = {"parameters": parameters}
        if continues:
            message["continues"] = True
        self.raw(json.dumps(message).encode() + b"\0")

    def error(self, code: str, **parameters: Any) -> None:
        self.raw(json.dumps({"error": code, "parameters": parameters}).encode() + b"\0")

    def close(self) -> None:
        with suppress(OSError):
            self.unix.shutdown(socket.SHUT_RDWR)


class Call:
    def __init__(self, message: bytes) -> None:
        self.whole = json.loads(message)
        self.method: str = self.whole["method"].rpartition(".")[2]
        self.parameters: dict[str, Any] = self.whole["parameters"]


Script = Callable[[Call, Peer], None]


class ScriptedDaemon:
    """Serves `path` until `stop`; `start` again is a restart. Calls `script` for each call, in a
    thread for each connection; remembers calls and connections."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.script: Script = lambda call, peer: peer.error("test.NotScripted")
        self.calls: list[Call] = []
        self.peers: list[Peer] = []
        self.read_calls = True
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None

    def start(self) -> None:
        Path(self.path).unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._spawn(self._accept, self._listener)

    def stop(self) -> None:
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
            Path(self.path).unlink()
        for peer in self.peers:
            peer.close()
        while self._threads:
            self._threads.pop().join(10)

    def _spawn(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                unix, _ = listener.accept()
            except OSError:
                return
            peer = Peer(unix)
            self.peers.append(peer)
            self._spawn(self._serve, peer)

    def _serve(self, peer: Peer) -> None:
        pending = bytearray()
        with peer.unix, suppress(OSError):
            while data := peer.unix.recv(1 << 20):
                if not self.read_calls:
                    return
                pending += data
                while (at := data.find(b"\0")) >= 0:
                    end = len(pending) - len(data) + at
                    call = Call(bytes(pending[:end]))
                    del pending[: end + 1]
                    data = data[at + 1 :]
                    self.calls.append(call)
                    self.script(call, peer)
        peer.gone.set()


def record(name: str = "x", **fields: Any) -> dict[str, Any]:
    """A record as the daemon would send it."""
    given = {"key": "7", "name": name, "workflow_key": "1", "is_ephemeral": False, "revision": 1}
    return given | fields


def workflow(status: str = "running", **fields: Any) -> dict[str, Any]:
    """A workflow as the daemon would send it."""
    return {
        "key": "1",
        "name": "w",
        "status": status,
        "run_id": 1,
        "jobs": {},
        "description": None,
        "user": None,
        "directory": "/",
        "max_parallel_jobs": 2,
        "stopping": False,
        "submitted_at": "2026-01-01T00:00:00Z",
        "started_at": None,
        "ended_at": None,
    } | fields


class InTurn:
    """A script that does another thing for each call; the last one again and again."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)

    def __call__(self, call: Call, peer: Peer) -> None:
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        script(call, peer)
