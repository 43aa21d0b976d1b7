"""Blocking calls: a request, and the reply to it, from a daemon that may restart meanwhile."""

import os
import time
from collections import deque
from collections.abc import Generator
from contextlib import closing
from typing import Any

from torcd import errors
from torcd.client import conversation
from torcd.client.connection import Connection, connect
from torcd.client.conversation import ConnectionBroken, NotThere, Patience
from torcd.protocol.request import Reply, Request


class Calls:
    """Several threads may use it, and so may a process and its forks. Connections are kept and used
    again until `close`."""

    def __init__(self, socket: str, restart_timeout_seconds: float) -> None:
        self._socket = socket
        self._restart_timeout = restart_timeout_seconds
        # Threads take connections and give them back; a deque's ends are safe for that.
        self._idle: deque[Connection] = deque()

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().close()

    def call(self, parameters: Request[Reply], timeout: float | None) -> Reply:
        """The reply. TimedOut when the daemon, which keeps the time, says so, or nothing at all."""
        # The daemon keeps the time; this bounds the wait for one that does not answer at all.
        grace = self._restart_timeout
        deadline = None if timeout is None else time.monotonic() + timeout + grace
        try:
            connection, reply, _ = self._start(parameters, deadline)
        except TimeoutError:
            raise conversation.timed_out(parameters, timeout or 0.0) from None
        self._idle.append(connection)
        return reply

    def stream(
        self, parameters: Request[Reply], deadline: float | None
    ) -> Generator[Reply, None, None]:
        """The replies as they come, over a connection of its own. Raises TimeoutError at the
        deadline."""
        connection, reply, continues = self._start(parameters, deadline, more=True)
        with closing(connection):
            yield reply
            while continues:
                message = self._receive(connection, parameters, deadline)
                reply, continues = conversation.decode(message, parameters)
                yield reply

    def _start(
        self, parameters: Request[Reply], deadline: float | None, *, more: bool = False
    ) -> tuple[Connection, Reply, bool]:
        """Send a request until there is a first reply, and return that, whether more will come,
        and the connection. Raises TimeoutError at the deadline."""
        began = tried_at = time.monotonic()
        patience = Patience(self._restart_timeout)
        repeatable = conversation.is_safe_to_repeat(parameters)
        while True:
            # Whether a daemon still is at the end of an idle connection is seen only by using it.
            idle = self._take() if repeatable else None
            try:
                connection = idle or self._connect(deadline)
                reply, continues = self._exchange(connection, parameters, deadline, more)
            except (NotThere, ConnectionBroken, errors.ShuttingDown) as e:
                if isinstance(e, ConnectionBroken) and not repeatable:
                    raise
                if idle is None:
                    pause(patience, tried_at, e)
            else:
                return connection, reply, continues
            tried_at = time.monotonic()
            parameters = conversation.with_time_left(parameters, tried_at - began)

    def _take(self) -> Connection | None:
        """An idle connection that this process has opened."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if connection.pid == os.getpid():
                return connection
            connection.close()
        return None

    def _connect(self, deadline: float | None) -> Connection:
        try:
            return connect(self._socket, deadline)
        except TimeoutError:
            raise
        except OSError as e:
            raise conversation.nobody_answers(self._socket, e) from None

    def _exchange(
        self, connection: Connection, parameters: Request[Reply], deadline: float | None, more: bool
    ) -> tuple[Reply, bool]:
        """The first answer. The connection is closed unless it may be used again."""
        refused: errors.TorcError | None = None
        call = conversation.encode(parameters, more=more)
        try:
            connection.send(call, deadline)
        except ConnectionError:
            # It may have said why before it closed.
            refused = conversation.too_large(parameters, len(call))
        except BaseException:
            connection.close()
            raise
        try:
            message = self._receive(connection, parameters, deadline)
        except ConnectionBroken:
            if refused is not None:
                raise refused from None
            raise
        try:
            return conversation.decode(message, parameters)
        except (errors.InvalidMessage, errors.ShuttingDown):
            connection.close()
            raise
        except errors.TorcError:
            self._idle.append(connection)
            raise

    def _receive(
        self, connection: Connection, parameters: Request[Any], deadline: float | None
    ) -> bytes | memoryview:
        try:
            return connection.receive(deadline)
        except BaseException as e:
            # Also for an interrupt: the answer is still to come, and the next request would take
            # it for its own.
            connection.close()
            if isinstance(e, OSError) and not isinstance(e, TimeoutError):
                raise conversation.broken(self._socket, parameters) from None
            raise


def pause(patience: Patience, tried_at: float, problem: errors.TorcError) -> None:
    """Sleep before the next try, or raise the problem when that was the last."""
    seconds = patience.after_failure(tried_at, time.monotonic())
    if seconds is None:
        raise problem
    time.sleep(seconds)
