"""The least that a server in Python can be which stores and fetches one large value as torcd does.

usage: python bare_large_server.py SOCKET DIRECTORY files|database; says "ready" when it is.

It serves one client at a time. A message is read into one block of memory that is kept, decoded
with msgspec, which finds out whether its value is JSON, and the value is hashed (SHA-256) while it
is written; then it is answered with the record and the value in it. A Fetch is answered with what
is on disk. Values are kept in files, each synced and then renamed, or as rows of a SQLite database,
each in the log once it is answered and moved into the database when that is done. Nothing of what
torcd does besides: not who asks, no revisions, no events, no bounds.
"""

import contextlib
import hashlib
import socket
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Protocol

import msgspec

from bench.bare_server import Answer, Call, Record, Reply
from torcd.store import durable

MAX_MESSAGE_BYTES = (16 << 20) + (64 << 10)

_PLACE = b"\x01"

_decode = msgspec.json.Decoder(Call).decode
_encode = msgspec.json.Encoder().encode


class Place(Protocol):
    """Where values are kept."""

    def write(self, name: str, value: memoryview) -> None:
        """It is on disk for good when this returns."""

    def send(self, name: str, client: socket.socket) -> None: ...

    def afterwards(self) -> None:
        """When a store has been answered."""


class Files:
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, name: str, value: memoryview) -> None:
        path = self._directory / name
        part = path.with_suffix(".part")
        with part.open("wb", buffering=0) as file:
            durable.write(file.fileno(), value)
        part.rename(path)

    def send(self, name: str, client: socket.socket) -> None:
        with (self._directory / name).open("rb", buffering=0) as file:
            client.sendfile(file)

    def afterwards(self) -> None:
        pass


class Database:
    def __init__(self, directory: Path) -> None:
        self._connection = sqlite3.connect(
            directory / "bare.db", isolation_level=None, check_same_thread=False
        )
        for setting in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "cache_size = -20480",
            "wal_autocheckpoint = 0",
        ):
            self._connection.execute(f"PRAGMA {setting}").fetchall()
        self._connection.execute(
            "CREATE TABLE revision (key INTEGER PRIMARY KEY, name TEXT, value BLOB)"
        )
        self._keys: dict[str, int] = {}

    def write(self, name: str, value: memoryview) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._keys[name] = (
            self._connection.execute(
                "INSERT INTO revision (name, value) VALUES (?, zeroblob(?))", (name, value.nbytes)
            ).lastrowid
            or 0
        )
        with self._connection.blobopen("revision", "value", self._keys[name]) as blob:
            blob.write(value)
        self._connection.execute("COMMIT")

    def send(self, name: str, client: socket.socket) -> None:
        with self._connection.blobopen("revision", "value", self._keys[name], readonly=True) as b:
            client.sendall(b.read())

    def afterwards(self) -> None:
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def receive(client: socket.socket, block: memoryview) -> int:
    """The bytes of one message without its NUL, at the beginning of the block; 0: there is none."""
    size = 0
    while n := client.recv_into(block[size:]):
        size += n
        if block[size - 1] == 0:
            return size - 1
    return 0


def send(client: socket.socket, *pieces: bytes | memoryview) -> None:
    rest = [memoryview(piece) for piece in pieces]
    while rest:
        n = client.sendmsg(rest)
        while rest and n >= len(rest[0]):
            n -= len(rest.pop(0))
        if rest:
            rest[0] = rest[0][n:]


def head_and_tail(record: Record) -> tuple[bytes, bytes]:
    head, _, tail = _encode(Answer(Reply(record))).partition(_PLACE)
    return head, tail + b"\0"


def serve_client(
    client: socket.socket, block: memoryview, place: Place, records: dict[str, Record]
) -> None:
    while size := receive(client, block):
        call = _decode(block[:size])
        name = call.parameters.name
        if call.method.endswith("Store"):
            value = memoryview(call.parameters.data)
            # Both give the interpreter's lock up.
            writing = threading.Thread(target=place.write, args=(name, value))
            writing.start()
            sha256 = hashlib.sha256(value).hexdigest()
            writing.join()
            records[name] = Record(name, msgspec.Raw(_PLACE), 1, sha256=sha256)
            head, tail = head_and_tail(records[name])
            send(client, head, value, tail)
            place.afterwards()
        else:
            head, tail = head_and_tail(records[name])
            client.sendall(head)
            place.send(name, client)
            client.sendall(tail)


def main() -> None:
    directory = Path(sys.argv[2])
    place: Place = Files(directory) if sys.argv[3] == "files" else Database(directory)
    block = memoryview(bytearray(MAX_MESSAGE_BYTES))
    records: dict[str, Record] = {}
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen(1)
    print("ready", flush=True)
    while True:
        client, _ = listener.accept()
        # A client that leaves before it has its answer is no concern of the next one.
        with client, contextlib.suppress(ConnectionError):
            serve_client(client, block, place, records)


if __name__ == "__main__":
    main()
