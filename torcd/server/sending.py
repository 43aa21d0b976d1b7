"""A large answer, written past asyncio's transport.

The transport copies what the kernel does not take at once, and a task would be woken for every 200
KiB. Here the kernel is given all that it takes whenever it takes some, and the task is woken at the
end. A larger buffer in the kernel makes no difference then.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable

LARGE_BYTES = 256 << 10
"""An answer from here on is worth it."""


async def send(descriptor: int, data: memoryview, moved: Callable[[int], None]) -> None:
    """All of it into a socket that has nothing else to write meanwhile; `moved` is told of the
    bytes that went. Raises OSError."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[int] = loop.create_future()
    """The number of the error; 0: all has gone. The error itself would refer to what refers to it,
    and keep the data in memory until Python looks for such circles."""
    sent = 0

    def write() -> None:
        nonlocal sent
        if done.done():
            return
        try:
            while sent < len(data):
                count = sock.send(data[sent:])
                sent += count
                moved(count)
        except BlockingIOError:
            return
        except OSError as error:
            done.set_result(error.errno or errno.EIO)
            return
        done.set_result(0)

    # The transport waits with its own descriptor; another one of the same socket is nobody's.
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        write()
        if not done.done():
            loop.add_writer(sock, write)
            try:
                await done
            finally:
                loop.remove_writer(sock)
        problem = done.result()
    if problem:
        raise OSError(problem, os.strerror(problem))
