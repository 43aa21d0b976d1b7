"""A value of 10 MiB, stored and fetched, against a file that is written, synced and read.

All go the whole way, from a client's memory through the socket to the disk, and back into a
client's memory; torcd also checks that it is JSON, and hashes it. What is read comes out of the
kernel's cache in both cases.
"""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bench import native, ours
from bench.figures import Figure, Skipped, at_least, ratio
from bench.run import Run
from bench.varlink import FETCH, STORE, message, token_of_a_job

VALUE_BYTES = 10 << 20


def large_value(run: Run) -> Iterator[Figure | Skipped]:
    seconds = run.seconds(1.5, 0.1)
    # With each request another value, so that it is no copy of what is there.
    text = '"' + "x" * (VALUE_BYTES - 10) + "\2" * 8 + '"'
    content = text.encode()
    writes, reads, stores, fetches = [], [], [], []
    for _ in run.each_round():
        with ours.daemon(run) as daemon:
            token = token_of_a_job(daemon, ["v"])
            file = daemon.directory / "plain"
            writes.append(_seconds_each(partial(_write, file, content), seconds))
            stored = native.ask(
                daemon.socket,
                message("Store", "v", token, text),
                connections=1,
                seconds=seconds,
                ending=STORE[0],
                prefix=STORE[1],
            )
            stores.append(stored.seconds / stored.replies)
            reads.append(_seconds_each(partial(_read, file), seconds))
            fetched = native.ask(
                daemon.socket,
                message("Fetch", "v", token),
                connections=1,
                seconds=seconds,
                ending=FETCH[0],
                prefix=FETCH[1],
            )
            fetches.append(fetched.seconds / fetched.replies)
    size = f"{VALUE_BYTES >> 20} MiB"
    yield ratio(
        "large-value",
        f"{size} stored and fetched, of a plain file",
        ("file s", [write + read for write, read in zip(writes, reads, strict=True)]),
        ("torcd s", [store + fetch for store, fetch in zip(stores, fetches, strict=True)]),
        target=at_least(0.5),
    )
    yield ratio(
        "large-value", "stored, of write and fsync", ("file s", writes), ("torcd s", stores)
    )
    yield ratio("large-value", "fetched, of read", ("file s", reads), ("torcd s", fetches))


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
