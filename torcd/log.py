"""The log, set up once: for people on a terminal, with fields into the journal, JSON otherwise.

No value of user_data, no variable of an environment and no token is ever an event's field.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, Literal, TextIO, cast

import structlog

from torcd import journal

Level = Literal["debug", "info", "warning", "error"]

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class _StandardError:
    """Takes what can be written and lets the rest go: a log on a full disk, or one that nobody
    reads any more, must not end what it is about."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), text.encode("utf-8", "backslashreplace"))

    def flush(self) -> None: ...


_threshold = logging.INFO


def set_level(level: Level) -> None:
    """Of what is logged from now on."""
    global _threshold
    _threshold = _LEVELS[level]


def _drop_what_is_below(_: object, name: str, event: MutableMapping[str, Any]) -> Any:
    if _LEVELS.get(name, logging.ERROR) < _threshold:
        raise structlog.DropEvent
    return event


def set_up(level: Level, log_format: Literal["auto", "console", "json"]) -> Any:
    """The logger everybody is given. `auto`: for people on a terminal; with priorities and fields
    into systemd's journal, where that has standard error; JSON otherwise."""
    is_journal = log_format == "auto" and journal.is_stream(2, os.environ.get("JOURNAL_STREAM", ""))
    is_console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    set_level(level)
    processors: list[Any] = [
        _drop_what_is_below,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    factory: Callable[..., Any] = structlog.WriteLoggerFactory(cast("TextIO", _StandardError()))
    if is_journal:
        into = journal.Journal(_StandardError().write)
        factory = lambda *_: into  # noqa: E731
        processors += [structlog.processors.format_exc_info, journal.render]
    elif is_console:
        processors += [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    else:
        processors += [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    structlog.configure(
        processors=processors,
        # Not its own filter: that is compiled in, and the level may change.
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    return structlog.get_logger("torcd")
