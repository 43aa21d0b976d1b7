"""The least job runner in Python that keeps torcd's promises: a bare daemon and bare wardens.

usage: python -m bench.bare_runner LOGS DATABASE COUNT AT_ONCE PROGRAM [ARGUMENT...]

The daemon writes what is to be started into SQLite, in a synced transaction, before it orders it,
and how it ended before it forgets it: for each job an attempt that begins and ends, the state of
the job, and three things that have happened. It orders ahead, and what belongs together shares a
transaction. A warden does what `bench/bare_warden.py` does, reads orders and tells of ends, some
at a time, as JSON. There is no scheduler, as all jobs are independent; no client, no server, no
log; no output is looked for, nor what a process has left behind; nothing can be stopped, taken back
or resumed. The seconds it took go to standard error.
"""

import json
import os
import select
import socket
import sqlite3
import sys
import time
from collections import deque

from bench.bare_warden import LOG, shares, spawn, variables
from torcd.executors.warden.libc import take_child_signals

AHEAD = 400
"""Jobs that are ordered and have not ended, at most: as torcd has it, a fifth of a second's."""

GATHER_SECONDS = 0.08
"""How long ends wait for others, as long as there are more orders than ends."""

_TABLES = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE attempt (key INTEGER PRIMARY KEY, job_key INTEGER, status TEXT, return_code INTEGER,
  started_at INTEGER, ended_at INTEGER) STRICT;
CREATE TABLE job (key INTEGER PRIMARY KEY, status TEXT, attempt_key INTEGER) STRICT;
CREATE TABLE event (number INTEGER PRIMARY KEY, at INTEGER, text TEXT) STRICT;
"""


def warden(connection: socket.socket, directory: str, at_once: int) -> None:
    """Until the other side closes the connection."""
    journal = os.open(f"{directory}/journal.{os.getpid()}", LOG | os.O_CLOEXEC, 0o600)
    shared = dict(os.environ)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    children = take_child_signals()
    orders: deque[list[object]] = deque()
    running: dict[int, tuple[int, int]] = {}
    ends: list[tuple[int, int, int, int]] = []
    gathers_until = 0.0
    received = b""
    while True:
        while orders and len(running) < at_once:
            key, argv, own = orders.popleft()
            assert isinstance(key, int)
            assert isinstance(argv, list)
            assert isinstance(own, dict)
            os.write(journal, b'["claimed",[%d]]\n' % key)
            pid = spawn(directory, key, argv, {**shared, **own})
            running[pid] = key, time.time_ns() // 1000
        now = time.monotonic()
        if ends and (now >= gathers_until or len(ends) >= len(orders)):
            connection.sendall(json.dumps(ends).encode() + b"\n")
            ends = []
        patience = max(gathers_until - now, 0.0) if ends else None
        ready, _, _ = select.select((connection, children), (), (), patience)
        if connection in ready:
            piece = connection.recv(1 << 16)
            if not piece:
                return
            *lines, received = (received + piece).split(b"\n")
            for line in lines:
                orders.extend(json.loads(line))
        if children in ready:
            os.read(children, 128)
            while running:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                assert status == 0, f"process {pid} has failed"
                key, started_at = running.pop(pid)
                os.write(journal, b'["exited",%d,%d]\n' % (pid, status))
                if not ends:
                    gathers_until = (time.monotonic() // GATHER_SECONDS + 1) * GATHER_SECONDS
                ends.append((key, status, started_at, time.time_ns() // 1000))


def daemon(connections: list[socket.socket], path: str, count: int, argv: list[str]) -> None:
    """Until all have ended."""
    database = sqlite3.connect(path, isolation_level=None)
    database.executescript(_TABLES)
    database.execute("BEGIN IMMEDIATE")
    database.executemany(
        "INSERT INTO job VALUES (?, 'ready', NULL)", ((key,) for key in range(1, count + 1))
    )
    database.execute("COMMIT")
    ordered = ended = number = 0
    received = dict.fromkeys(connections, b"")
    ends: list[tuple[int, int, int, int]] = []
    while True:
        first, ordered = ordered + 1, min(ended + AHEAD, count)
        told = []
        for key in range(first, ordered + 1):
            told.append((key, {"kind": "job_pending", "job_key": key, "attempt_id": 1}))
        for key, status, _, _ in ends:
            told.append((key, {"kind": "job_running", "job_key": key, "attempt_id": 1}))
            told.append((key, {"kind": "job_completed", "job_key": key, "return_code": status}))
        at = time.time_ns() // 1000
        database.execute("BEGIN IMMEDIATE")
        database.executemany(
            "INSERT INTO attempt (key, job_key) VALUES (?, ?)",
            [(key, key) for key in range(first, ordered + 1)],
        )
        database.executemany(
            "UPDATE attempt SET status = 'completed', return_code = ?, started_at = ?, ended_at = ?"
            " WHERE key = ?",
            [(status, began, over, key) for key, status, began, over in ends],
        )
        database.executemany(
            "UPDATE job SET status = 'completed', attempt_key = ? WHERE key = ?",
            [(key, key) for key, _, _, _ in ends],
        )
        database.executemany(
            "INSERT INTO event VALUES (?, ?, ?)",
            [(number + n, at, json.dumps(what)) for n, (_, what) in enumerate(told)],
        )
        database.execute("COMMIT")
        number += len(told)
        if ended == count:
            return
        orders = [(key, argv, variables(key)) for key in range(first, ordered + 1)]
        for turn, connection in enumerate(connections):
            its = orders[turn :: len(connections)]
            if its:
                connection.sendall(json.dumps(its).encode() + b"\n")
        ends = []
        while not ends:
            for connection in select.select(connections, (), ())[0]:
                *lines, rest = (received[connection] + connection.recv(1 << 16)).split(b"\n")
                received[connection] = rest
                ends += [end for line in lines for end in json.loads(line)]
        ended += len(ends)


def main() -> None:
    logs, database, argv = sys.argv[1], sys.argv[2], sys.argv[5:]
    count, at_once = int(sys.argv[3]), int(sys.argv[4])
    begin = time.perf_counter()
    connections: list[socket.socket] = []
    pids = []
    for share in shares(at_once):
        mine, its = socket.socketpair()
        connections.append(mine)
        pid = os.fork()
        if pid == 0:
            for connection in connections:
                connection.close()
            warden(its, logs, share)
            os._exit(0)
        its.close()
        pids.append(pid)
    daemon(connections, database, count, argv)
    print(f"{time.perf_counter() - begin:.6f}", file=sys.stderr)
    for connection in connections:
        connection.close()
    for pid in pids:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
