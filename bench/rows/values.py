"""Storing and fetching values, against Redis: durably, on a Unix socket, from the same clients.

The clients are one C program for both servers (`bench/native/load.c`), and the share of the time in
which it is busy is told: while that is well below 1, it is the server that is measured. Each
connection has a value of its own of 64 bytes, new with every request. Ours are stored as a job does
it, with its token, and every one of them is kept as a revision; Redis keeps the newest.

Two more servers are asked the same (`bench/bare.py`): the least that one in Python over SQLite can
be, and where values are stored the least that does all that the contract asks of a Store. What they
reach of Redis is what torcd could reach at best.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench import bare, native, ours
from bench.figures import Figure, Skipped, Target, at_least, figure, ratio
from bench.peers import redis
from bench.run import Run
from bench.varlink import FETCH, STORE, message, token_of_a_job

CONNECTIONS = 64

NAME = "v\1\1"
"""The bytes are places for the number of the connection."""

VALUE = f'"{"x" * 54}{chr(2) * 8}"'
"""JSON of 64 bytes, with places for the number of the request."""


class Server(msgspec.Struct, frozen=True):
    """Either of them: where it is, what it is asked, what ends its replies and how they begin."""

    socket: Path
    store: tuple[bytes, bytes, str]
    fetch: tuple[bytes, bytes, str]

    def ask(self, what: str, connections: int, seconds: float) -> native.Asked:
        request, ending, prefix = self.store if what == "store" else self.fetch
        return native.ask(
            self.socket,
            request,
            connections=connections,
            seconds=seconds,
            ending=ending,
            prefix=prefix,
        )


def store(run: Run) -> Iterator[Figure | Skipped]:
    yield from _compare(run, "store", {CONNECTIONS: at_least(1.0), 1: at_least(0.85)})


def fetch(run: Run) -> Iterator[Figure | Skipped]:
    yield from _compare(run, "fetch", {CONNECTIONS: at_least(0.40), 1: at_least(0.70)})


def _compare(run: Run, what: str, targets: dict[int, Target]) -> Iterator[Figure | Skipped]:
    if redis.version() is None:
        yield Skipped(what, "Redis", "it is not installed (make bench does)")
        return
    bares = {"a bare server in Python": "bare"}
    if what == "store":
        bares["one that does what a Store has to do"] = "contract"
    names = ("torcd", *bares.values(), "Redis")
    asked: dict[tuple[str, int], list[native.Asked]] = {
        (name, connections): [] for name in names for connections in targets
    }
    for _ in run.each_round():
        with (
            redis.server(run.fresh("redis")) as socket,
            bare.server(run.fresh("bare"), "least") as bare_socket,
            bare.server(run.fresh("bare"), "contract") as contract_socket,
            ours.daemon(run) as daemon,
        ):
            token = token_of_a_job(daemon, [f"v{number:02}" for number in range(CONNECTIONS)])
            servers = {"Redis": _redis(socket), "torcd": _torcd(daemon.socket, token)}
            servers["bare"] = _torcd(bare_socket, token)
            servers["contract"] = _torcd(contract_socket, token)
            for server in servers.values():
                server.ask("store", CONNECTIONS, run.seconds(0.5, 0.05))  # all have a value
            for connections in targets:
                for name in names:
                    seconds = run.seconds(3.0, 0.1)
                    asked[name, connections].append(servers[name].ask(what, connections, seconds))
    for connections, target in targets.items():
        crowd = f"{connections} connection{'s' if connections > 1 else ''}"
        mine, theirs = asked["torcd", connections], asked["Redis", connections]
        yield ratio(
            what,
            f"of Redis, {crowd}",
            ("torcd per s", [each.per_second for each in mine]),
            ("Redis per s", [each.per_second for each in theirs]),
            target=target,
        )
        for title, name in bares.items():
            yield ratio(
                what,
                f"{title}, of Redis, {crowd}",
                (f"{name} per s", [each.per_second for each in asked[name, connections]]),
                ("Redis per s", [each.per_second for each in theirs]),
            )
        for name, each in (("torcd", mine), ("Redis", theirs)):
            yield figure(
                what,
                f"share of the time the clients of {name} are busy, {crowd}",
                [one.busy for one in each],
            )


def _torcd(socket: Path, token: str) -> Server:
    return Server(
        socket,
        (message("Store", NAME, token, VALUE), *STORE),
        (message("Fetch", NAME, token), *FETCH),
    )


def _redis(socket: Path) -> Server:
    return Server(
        socket,
        (_resp("SET", NAME, VALUE), b"\n", "+OK\r\n"),
        (_resp("GET", NAME), b"\n\n", f"${len(VALUE)}\r\n"),
    )


def _resp(*words: str) -> bytes:
    """A command in Redis' protocol."""
    parts = [f"*{len(words)}\r\n", *(f"${len(word)}\r\n{word}\r\n" for word in words)]
    return "".join(parts).encode()
