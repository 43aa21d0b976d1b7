"""A warden for tests that dies at a named point; see `stumbling.py`. Standard library only: it runs
isolated, as the warden does."""

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

sys.path.insert(0, os.path.abspath(f"{__file__}/../../.."))

from torcd.executors.warden import __main__, attempts, journal, spawning, warden

DIRECTORY = sys.argv[1] if __name__ == "__main__" else ""


def here(point: str) -> None:
    path = f"{DIRECTORY}/../stumble"
    try:
        with open(path) as file:
            stumble = json.load(file)
    except FileNotFoundError:
        return
    if stumble["point"] != point:
        return
    os.unlink(path)
    if stumble["both"]:
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _around(owner: Any, name: str, *, before: str = "", after: str = "") -> None:
    function: Callable[..., Any] = getattr(owner, name)

    def wrapped(*arguments: Any) -> Any:
        if before:
            here(before)
        result = function(*arguments)
        if after:
            here(after)
        return result

    setattr(owner, name, wrapped)


def _journal() -> None:
    write = journal.Journal.write

    def writing(self: journal.Journal, facts: str) -> bool:
        words = self._waiting + facts
        is_end = facts.startswith('["exited"')
        if is_end:
            here("before_writing_exited")
        done = write(self, facts)
        if is_end:
            here("after_writing_exited")
        for word in ("claimed", "started"):
            if f'["{word}"' in words:
                here(f"after_writing_{word}")
        return done

    journal.Journal.write = writing  # type: ignore[method-assign]


def _rewriting() -> None:
    rewrite = journal.Journal.rewrite

    def rewriting(self: journal.Journal, facts: list[str]) -> None:
        if facts:
            rename = os.rename

            def renaming(source: str, target: str) -> None:
                here("before_renaming_the_journal")
                rename(source, target)

            os.rename = renaming  # type: ignore[assignment]
            try:
                rewrite(self, facts)
            finally:
                os.rename = rename
            here("after_renaming_the_journal")
        else:
            rewrite(self, facts)

    journal.Journal.rewrite = rewriting  # type: ignore[method-assign]


def _telling() -> None:
    tell = warden.Warden._tell

    def telling(self: warden.Warden) -> None:
        before = list(self._attempts.reports)
        tell(self)
        if before and not self._attempts.reports:
            for word in ("started", "exited"):
                if any(f'["{word}"' in line for line in before):
                    here(f"after_telling_{word}")

    warden.Warden._tell = telling  # type: ignore[method-assign]


if __name__ == "__main__":
    _around(attempts.Attempts, "order", after="after_reading_an_order")
    _around(attempts.Attempts, "acknowledge", after="after_reading_an_acknowledgement")
    _around(attempts.Cleaner, "leader_ended", before="after_reaping")
    _around(spawning, "spawn", after="after_spawning")
    _journal()
    _rewriting()
    _telling()
    sys.exit(__main__.main())
