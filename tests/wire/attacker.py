"""A client that wants to hurt, as a process of its own: `attacker.py SOCKET KIND`.

It prints a line when it has begun, and goes on until it is killed. It may be stopped and continued
by signals meanwhile. It is polite to the machine, for what it does to the daemon is looked at.
"""

import contextlib
import itertools
import os
import random
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator

LARGE_BYTES = 15 << 20
STATUS = b'{"method":"io.torcd.Manager.GetStatus"}\0'
STORE = b'{"method":"io.torcd.UserData.Store","parameters":{"name":"large","data":%s}}\0'
FETCH = b'{"method":"io.torcd.UserData.Fetch","parameters":{"name":"given"}}\0'

path = ""


def connect() -> socket.socket:
    while True:
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        try:
            sock.connect(path)
            return sock
        except BlockingIOError:  # its backlog is full
            sock.close()
            time.sleep(0.01)


def send_what_goes(sock: socket.socket, data: bytes | memoryview) -> int:
    """How much did; -1: it is closed."""
    try:
        return sock.send(data)
    except BlockingIOError:
        return 0
    except OSError:
        return -1


def hang_on(sock: socket.socket, data: bytes) -> None:
    """Send it and wait for an answer, or for the end of the connection."""
    sock.settimeout(20)
    with sock, contextlib.suppress(OSError):
        sock.sendall(data)
        while (piece := sock.recv(1 << 16)) and not piece.endswith(b"\0"):
            pass


def again_and_again(make: Callable[[], bytes]) -> Iterator[None]:
    while True:
        hang_on(connect(), make())
        yield


def garbage() -> Iterator[None]:
    dice = random.Random(1)
    return again_and_again(lambda: dice.randbytes(dice.randrange(1, 100_000)) + b"\0")


def without_end() -> Iterator[None]:
    """A gigabyte without NUL, if it goes."""
    piece = bytes([120]) * (1 << 20)
    while True:
        sock = connect()
        sock.settimeout(20)
        with sock, contextlib.suppress(OSError):
            for _ in range(1024):
                sock.sendall(piece)
            os._exit(1)  # it went
        yield


def deep() -> Iterator[None]:
    brackets = itertools.cycle(
        [STORE % (b"[" * 10_000 + b"]" * 10_000), b"[" * 10_000 + b"]" * 10_000 + b"\0"]
    )
    return again_and_again(lambda: next(brackets))


def no_utf8() -> Iterator[None]:
    return again_and_again(lambda: STORE % b'"\xff\xfe\xc0\x80"')


def halves(size: int, count: int) -> Iterator[None]:
    """Begun messages, each sent as far as it goes; who is cut off comes back."""
    whole = memoryview(STORE[:-4] + b'"' + bytes([120]) * size)
    crowd = [(connect(), 0) for _ in range(count)]
    while True:
        for i, (sock, sent) in enumerate(crowd):
            more = send_what_goes(sock, whole[sent : sent + (1 << 20)]) if sent < len(whole) else 0
            if more < 0:
                sock.close()
                crowd[i] = connect(), 0
            else:
                crowd[i] = sock, sent + more
        yield
        time.sleep(0.02)


def half() -> Iterator[None]:
    return halves(1_000, 200)


def large_half() -> Iterator[None]:
    return halves(LARGE_BYTES, 60)


def middling_half() -> Iterator[None]:
    return halves(100_000, 500)


def never_reads() -> Iterator[None]:
    """Large answers, and many small ones."""
    crowd: list[socket.socket] = []
    while True:
        for sock in crowd:
            if send_what_goes(sock, STATUS) < 0:
                sock.close()
                crowd.remove(sock)
        while len(crowd) < 100:
            crowd.append(connect())
            send_what_goes(crowd[-1], FETCH if len(crowd) % 2 else STATUS * 1000)
        yield
        time.sleep(0.02)


def byte_a_second() -> Iterator[None]:
    crowd = [connect() for _ in range(200)]
    message = STATUS * 10
    for byte in itertools.cycle(message):
        for i, sock in enumerate(crowd):
            if send_what_goes(sock, bytes([byte])) < 0:
                sock.close()
                crowd[i] = connect()
        yield
        time.sleep(1)


def crowd() -> Iterator[None]:
    """2 000 connections, of which half ask something."""
    sockets = [connect() for _ in range(2_000)]
    while True:
        for i, sock in enumerate(sockets):
            if i % 2 and send_what_goes(sock, STATUS) < 0:
                sock.close()
                sockets[i] = connect()
            if i % 100 == 0:
                yield
                time.sleep(0.02)
        for sock in select.select(sockets[:1000], [], [], 0)[0]:
            with contextlib.suppress(OSError):
                sock.recv(1 << 16)


def leaving() -> Iterator[None]:
    """Gone in the middle of everything: of a message, of an answer, before it, after a call that
    waits."""
    watch = b'{"method":"io.torcd.UserData.Watch","more":true,"parameters":{}}\0'
    submit = (
        b'{"method":"io.torcd.Manager.Submit","parameters":{"directory":"/","workflow":'
        b'{"jobs":[{"command":"true"}]}}}\0'
    )
    messages = [STATUS, STORE % b"1", FETCH, watch]
    for turn in itertools.count():
        # Whole workflows now and then: what they cost is no concern of this.
        message = submit if turn % 100 == 0 else messages[turn % len(messages)]
        with connect() as sock:
            end = len(message) if turn % 3 else turn % len(message)
            send_what_goes(sock, message[:end])
            if turn % 2:
                sock.shutdown(socket.SHUT_WR)
        yield


def oneway() -> Iterator[None]:
    calls = (
        STATUS[:-2] + b',"oneway":true}\0',
        STORE[:-2] % b"1" + b',"oneway":true}\0',
    )
    flood = memoryview(b"".join(calls) * 500)
    crowd = [connect() for _ in range(8)]
    sent = [0] * len(crowd)
    while True:
        select.select([], crowd, [])
        for i, sock in enumerate(crowd):
            sent[i] = (sent[i] + max(0, send_what_goes(sock, flood[sent[i] :]))) % len(flood)
        yield


KINDS: dict[str, Callable[[], Iterator[None]]] = {
    function.__name__: function
    for function in (
        garbage,
        without_end,
        deep,
        no_utf8,
        half,
        middling_half,
        large_half,
        never_reads,
        byte_a_second,
        crowd,
        leaving,
        oneway,
    )
}


def main() -> None:
    global path
    path = sys.argv[1]
    os.nice(19)
    attack = KINDS[sys.argv[2]]()
    next(attack)
    print("begun", flush=True)
    for _ in attack:
        pass


if __name__ == "__main__":
    main()
