"""The least that a server in Python can be which stores and fetches as torcd does: its floor.

usage: python bare_server.py SOCKET DATABASE; says "ready" when it is.

It reads Store and Fetch from a Unix socket with epoll, decodes them with msgspec, keeps the newest
values in a dict, writes all stores of a turn into SQLite in one synced transaction, and answers. It
checks nothing: not who asks, not what the value is; it tells nobody, has no history, no events and
no bounds, and while it writes everybody waits.
"""

import select
import socket
import sqlite3
import sys

import msgspec


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


_decode = msgspec.json.Decoder(Call).decode
_encode = msgspec.json.Encoder().encode


def serve(path: str, connection: sqlite3.Connection) -> None:
    """Until it is killed."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(128)
    print("ready", flush=True)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    answers: dict[str, bytes] = {}
    revision = 0
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
        rows = [(p.name, revision + n, bytes(p.data)) for n, (_, p) in enumerate(stored, 1)]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO revision VALUES (?, ?, ?)", rows)
        connection.execute("COMMIT")
        for client, parameters in stored:
            revision += 1
            record = Record(parameters.name, parameters.data, revision)
            answer = _encode(Answer(Reply(record))) + b"\0"
            answers[parameters.name] = answer
            client.send(answer)


def main() -> None:
    connection = sqlite3.connect(sys.argv[2], isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE revision (name TEXT, revision INTEGER, value BLOB)")
    serve(sys.argv[1], connection)


if __name__ == "__main__":
    main()
