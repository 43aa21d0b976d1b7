"""The least that a server in Python can be which stores and fetches as torcd does: its floor.

usage: python bare_server.py SOCKET DATABASE least|contract; says "ready" when it is.

It reads Store and Fetch from a Unix socket with epoll, decodes them with msgspec, keeps the newest
answers in a dict, writes all stores of a turn into SQLite in one synced transaction, and answers.
It tells nobody and has no bounds, and while it writes everybody waits.

`least` checks and keeps nothing: not who asks, not what the value is. A row is a name, a number and
the value. `contract` does what every Store has to do by torcd's contract, and no more: whose token
it is and whether the value is declared are looked up, the value is checked and hashed as torcd does
it, and what is written are a revision with who stored it, the newest one of the value, what
happened, and where counting goes on.
"""

import select
import socket
import sqlite3
import sys
import time
from typing import Protocol

import msgspec

from torcd import value
from torcd.model import Timestamp
from torcd.protocol.times import rfc3339


class Parameters(msgspec.Struct):
    name: str
    token: str
    data: msgspec.Raw = msgspec.Raw(b"null")


class Call(msgspec.Struct):
    method: str
    parameters: Parameters


class StoredBy(msgspec.Struct, frozen=True):
    job_key: str = "1200"
    job_name: str = "job_1"
    run_id: int = 1
    attempt_id: int = 1


class Record(msgspec.Struct):
    """As many fields as torcd's, of the same size."""

    name: str
    data: msgspec.Raw
    revision: int
    key: str = "1234"
    workflow_key: str = "1"
    is_ephemeral: bool = False
    sha256: str = "0" * 64
    stored_at: str = "2026-01-31T12:00:00.000001Z"
    stored_by: StoredBy = StoredBy()


class Reply(msgspec.Struct):
    record: Record


class Answer(msgspec.Struct):
    parameters: Reply


class Happened(msgspec.Struct):
    number: int
    at: int
    data_key: int
    revision: int
    kind: str = "value_stored"
    workflow_key: int = 1
    job_key: int = 1200
    run_id: int = 1
    attempt_id: int = 1


_decode = msgspec.json.Decoder(Call).decode
_encode = msgspec.json.Encoder().encode


class Keeper(Protocol):
    """What becomes of values that were sent."""

    tables: tuple[str, ...]

    def keep(self, connection: sqlite3.Connection, calls: list[Parameters]) -> list[Record]:
        """Within a transaction."""


class Least:
    tables: tuple[str, ...] = ("CREATE TABLE revision (name TEXT, revision INTEGER, value BLOB)",)

    def __init__(self) -> None:
        self._revision = 0

    def keep(self, connection: sqlite3.Connection, calls: list[Parameters]) -> list[Record]:
        records = []
        for call in calls:
            self._revision += 1
            records.append(Record(call.name, call.data, self._revision))
        rows = [(each.name, each.revision, bytes(each.data)) for each in records]
        connection.executemany("INSERT INTO revision VALUES (?, ?, ?)", rows)
        return records


class Contract:
    """Rows have the columns of torcd's that are not empty. Who asks first with a token has it."""

    tables: tuple[str, ...] = (
        "CREATE TABLE revision (key INTEGER PRIMARY KEY, data_key INTEGER NOT NULL,"
        " revision INTEGER NOT NULL, previous INTEGER, run_id INTEGER NOT NULL,"
        " attempt_key INTEGER, stored_at INTEGER NOT NULL, sha256 BLOB NOT NULL,"
        " value BLOB NOT NULL) STRICT",
        "CREATE TABLE user_data (key INTEGER PRIMARY KEY, name TEXT NOT NULL, newest INTEGER)"
        " STRICT",
        "CREATE TABLE event (first_number INTEGER PRIMARY KEY, workflow_key INTEGER NOT NULL,"
        " happenings TEXT NOT NULL) STRICT",
        "CREATE INDEX event_of_workflow ON event (workflow_key)",
        "CREATE TABLE meta (next_event_number INTEGER NOT NULL, commits INTEGER NOT NULL) STRICT",
        "INSERT INTO meta VALUES (1, 0)",
    )

    def __init__(self) -> None:
        self._attempts: dict[str, int] = {}
        self._keys: dict[str, int] = {}
        self._revisions: dict[int, int] = {}
        self._newest: dict[int, int] = {}
        self._row = 0
        self._number = 0

    def keep(self, connection: sqlite3.Connection, calls: list[Parameters]) -> list[Record]:
        records, rows, happened = [], [], []
        for call in calls:
            attempt = self._attempts.setdefault(call.token, len(self._attempts) + 1)
            key = self._keys.get(call.name)
            if key is None:
                key = self._keys[call.name] = len(self._keys) + 1
                declared = "INSERT INTO user_data VALUES (?, ?, NULL)"
                connection.execute(declared, (key, call.name))
            checked = value.parse(bytes(call.data), name=call.name)
            at = time.time_ns() // 1000
            revision = self._revisions[key] = self._revisions.get(key, 0) + 1
            self._row += 1
            self._number += 1
            sha256 = bytes.fromhex(checked.sha256)
            previous = self._newest.get(key)
            rows.append((self._row, key, revision, previous, 1, attempt, at, sha256, checked.text))
            self._newest[key] = self._row
            happened.append(Happened(self._number, at, key, revision))
            records.append(
                Record(
                    call.name,
                    call.data,
                    revision,
                    str(key),
                    sha256=checked.sha256,
                    stored_at=rfc3339(Timestamp(at)),
                )
            )
        connection.executemany("INSERT INTO revision VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        connection.executemany(
            "UPDATE user_data SET newest = ? WHERE key = ?", [(row[0], row[1]) for row in rows]
        )
        connection.execute(
            "INSERT INTO event VALUES (?, 1, ?)", (happened[0].number, _encode(happened).decode())
        )
        connection.execute(
            "UPDATE meta SET next_event_number = ?, commits = commits + 1", (self._number + 1,)
        )
        return records


KEEPERS: dict[str, type[Least | Contract]] = {"least": Least, "contract": Contract}


def serve(path: str, connection: sqlite3.Connection, keeper: Keeper) -> None:
    """Until it is killed."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(128)
    print("ready", flush=True)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    answers: dict[str, bytes] = {}
    while True:
        stored: list[tuple[socket.socket, Parameters]] = []
        for descriptor, _ in poll.poll():
            if descriptor == listener.fileno():
                client, _ = listener.accept()
                clients[client.fileno()] = client
                poll.register(client, select.EPOLLIN)
                continue
            client = clients[descriptor]
            text = client.recv(8192)
            if not text:
                poll.unregister(client)
                clients.pop(descriptor).close()
                continue
            call = _decode(text[:-1])
            if call.method.endswith("Fetch"):
                client.send(answers[call.parameters.name])
            else:
                stored.append((client, call.parameters))
        if not stored:
            continue
        connection.execute("BEGIN IMMEDIATE")
        records = keeper.keep(connection, [parameters for _, parameters in stored])
        connection.execute("COMMIT")
        for (client, _), record in zip(stored, records, strict=True):
            answer = _encode(Answer(Reply(record))) + b"\0"
            answers[record.name] = answer
            client.send(answer)


def main() -> None:
    keeper = KEEPERS[sys.argv[3]]()
    connection = sqlite3.connect(sys.argv[2], isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    for statement in keeper.tables:
        connection.execute(statement)
    serve(sys.argv[1], connection, keeper)


if __name__ == "__main__":
    main()
