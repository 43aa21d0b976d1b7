"""What one run of torcctl was asked in general: for which workflow, how to print, which daemon."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from torcctl.render import jsontext
from torcctl.render.text import clean_lines
from torcd import locations

if TYPE_CHECKING:
    from torcctl.render.table import Column
    from torcctl.settings import Settings
    from torcd.client import Client
    from torcd.protocol.request import Reply, Request

Row = TypeVar("Row")


class Invocation:
    """The global options, and the ways to ask the daemon and to print that depend on them."""

    def __init__(self) -> None:
        self.key_option: str | None = None
        """What -k said."""
        self.socket_option: str | None = None
        self.format_option: str | None = None
        self.quiet = False
        self._settings: Settings | None = None
        self._client: Client | None = None

    @property
    def settings(self) -> "Settings":
        """Raises ConfigError for a wrong settings file."""
        if self._settings is None:
            from torcctl.settings import load

            self._settings = load(locations.client_config())
        return self._settings

    @property
    def workflow_key(self) -> str | None:
        """Of -k or the environment; None is the newest workflow."""
        return self.key_option or os.environ.get("TORC_WORKFLOW_KEY") or None

    @property
    def socket(self) -> str:
        return self.socket_option or locations.client_socket()

    @property
    def as_json(self) -> bool:
        return (self.format_option or self.settings.format) == "json"

    # Asking

    def client(self) -> "Client":
        """The connection of this invocation; made when first asked for."""
        if self._client is None:
            self._client = self.new_client(patient=bool(os.environ.get("TORC_TOKEN")))
        return self._client

    def new_client(self, *, patient: bool) -> "Client":
        """A client of its own. A patient one waits a while for a daemon that restarts: jobs do,
        which run on meanwhile; a person wants to know at once that there is none."""
        from torcd.client import Client

        return Client(self.socket) if patient else Client(self.socket, restart_timeout_seconds=0)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def call(self, parameters: "Request[Reply]") -> "Reply":
        """Ask the daemon; raises what it answers if it refuses, NoDaemon where none is there. One
        that was there, and went away before it answered, is waited for where asking again does no
        harm."""
        from torcd.client.conversation import ConnectionBroken, is_safe_to_repeat
        from torcd.errors import ShuttingDown

        try:
            return self.client().call(parameters)
        except (ConnectionBroken, ShuttingDown):
            if not is_safe_to_repeat(parameters):
                raise
        self.wait_for_daemon()
        return self.client().call(parameters)

    def stream(self, parameters: "Request[Reply]") -> "Iterator[Reply]":
        """Ask for a stream, each reply as it comes; raises as `call` does."""
        return self.client().stream(parameters)

    def wait_for_daemon(self) -> None:
        """Say that the daemon is away, and be patient."""
        self.say("the daemon went away; waiting for the next one")
        self.be_patient()

    def be_patient(self) -> None:
        """From now on wait for a daemon that is away: there was one, and it has our business."""
        self.close()
        self._client = self.new_client(patient=True)

    # Printing

    def say(self, message: str) -> None:
        """Tell a person something that is no data: on standard error, unless -q."""
        if not self.quiet:
            sys.stderr.write(clean_lines(message) + "\n")
            sys.stderr.flush()

    def print_object(self, value: object, text: Callable[[], str], *, said: bool = False) -> None:
        """The value as JSON, or its text for people: data, or with `said` a mere remark."""
        if self.as_json:
            write(jsontext.document(value))
        elif said:
            self.say(text())
        else:
            write(text().encode(errors="backslashreplace"))

    def print_list(
        self,
        reply: object,
        columns: "Sequence[Column[Row]]",
        rows: Sequence[Row],
        *,
        empty: str,
    ) -> None:
        """A list: the reply as JSON, or its rows as a table; `empty` is said where it has none."""
        if self.as_json:
            write(jsontext.document(reply))
        elif rows:
            write(self._table(columns, rows).encode(errors="backslashreplace"))
        else:
            self.say(empty)

    def print_further(self, columns: "Sequence[Column[Row]]", rows: Sequence[Row]) -> None:
        """Another table below a list, for people: the JSON of the list has it already."""
        if rows and not self.as_json:
            write(b"\n" + self._table(columns, rows).encode(errors="backslashreplace"))

    def print_lines(self, items: Iterable[tuple[object, str]]) -> None:
        """A stream: each value as one line of JSON, or its line for people, at once."""
        for value, text in items:
            write(jsontext.line(value) if self.as_json else f"{text}\n".encode())

    def _table(self, columns: "Sequence[Column[Row]]", rows: Sequence[Row]) -> str:
        from torcctl.render import table

        if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
            return table.plain(columns, rows)
        import shutil

        width = shutil.get_terminal_size().columns
        return table.on_terminal(columns, rows, width=width, color=self._color())

    def _color(self) -> bool:
        return self.settings.color == "auto" and not os.environ.get("NO_COLOR")


def write(data: bytes) -> None:
    """Data for standard output, at once: whoever reads a stream waits for it."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
