"""A value of 10 MiB, stored and fetched, against a file that is written, synced and read.

All go the whole way, from a client's memory through the socket to the disk, and back into a
client's memory; torcd also checks that it is JSON, and hashes it. What is read comes out of the
kernel's cache in both cases.

Two more servers are asked the same, the least that one in Python can be
(`bench/bare_large_server.py`): one keeps values in files, the other in a database as torcd does.
"""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec

from bench import bare, native, ours
from bench.figures import Figure, Skipped, at_least, ratio
from bench.run import Run
from bench.varlink import FETCH, STORE, message, token_of_a_job

VALUE_BYTES = 10 << 20

# With each request another value, so that it is no copy of what is there.
TEXT = '"' + "x" * (VALUE_BYTES - 10) + "\2" * 8 + '"'


class Times(msgspec.Struct, frozen=True):
    """Of each round, in seconds."""

    stores: list[float] = []
    fetches: list[float] = []

    def both(self) -> list[float]:
        return [store + fetch for store, fetch in zip(self.stores, self.fetches, strict=True)]


def large_value(run: Run) -> Iterator[Figure | Skipped]:
    seconds = run.seconds(1.5, 0.1)
    content = TEXT.encode()
    file, torcd, files, database = Times(), Times(), Times(), Times()
    for _ in run.each_round():
        with ours.daemon(run) as daemon:
            token = token_of_a_job(daemon, ["v"])
            path = daemon.directory / "plain"
            file.stores.append(_seconds_each(partial(_write, path, content), seconds))
            file.fetches.append(_seconds_each(partial(_read, path), seconds))
            _ask(daemon.socket, token, seconds, torcd)
        with bare.large_server(run.fresh("bare"), "files") as socket:
            _ask(socket, token, seconds, files)
        with bare.large_server(run.fresh("bare"), "database") as socket:
            _ask(socket, token, seconds, database)
    size = f"{VALUE_BYTES >> 20} MiB"
    yield ratio(
        "large-value",
        f"{size} stored and fetched, of a plain file",
        ("file s", file.both()),
        ("torcd s", torcd.both()),
        target=at_least(0.5),
    )
    yield ratio(
        "large-value",
        "stored, of write and fsync",
        ("file s", file.stores),
        ("torcd s", torcd.stores),
    )
    yield ratio(
        "large-value", "fetched, of read", ("file s", file.fetches), ("torcd s", torcd.fetches)
    )
    for name, bare_times in (("with files", files), ("over SQLite", database)):
        yield ratio(
            "large-value",
            f"a bare server in Python {name}, of a plain file",
            ("file s", file.both()),
            ("bare s", bare_times.both()),
        )


def _ask(socket: Path, token: str, seconds: float, times: Times) -> None:
    stored, fetched = (
        native.ask(
            socket, request, connections=1, seconds=seconds, ending=ending[0], prefix=ending[1]
        )
        for request, ending in (
            (message("Store", "v", token, TEXT), STORE),
            (message("Fetch", "v", token), FETCH),
        )
    )
    times.stores.append(stored.seconds / stored.replies)
    times.fetches.append(fetched.seconds / fetched.replies)


def _seconds_each(do: Callable[[], None], seconds: float) -> float:
    begin = time.perf_counter()
    count = 0
    while (elapsed := time.perf_counter() - begin) < seconds or not count:
        do()
        count += 1
    return elapsed / count


def _write(path: Path, content: bytes) -> None:
    # A new file each time, as a program does that must not leave half of one behind.
    part = path.with_suffix(".part")
    with part.open("wb", buffering=0) as file:
        view = memoryview(content)
        while view:
            view = view[file.write(view) :]
        os.fsync(file.fileno())
    part.rename(path)


def _read(path: Path) -> None:
    assert len(path.read_bytes()) == VALUE_BYTES
