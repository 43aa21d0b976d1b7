"""A daemon for tests that dies at a named point: `python stumbling.py run`.

The code of torcd has no hooks for this. This program puts wrappers around functions of it, whose
names are the borders between its parts, and then runs it as always. Its warden is the one of
`stumbling_warden.py`, made in the same way. Which point it is stands in the file `stumble` of the
state directory; who comes to it first removes the file and dies. Without the file all goes as ever.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from torcd import __main__, daemon
from torcd.controller import harvest, preparing
from torcd.executors.base import Exited, Report, Started
from torcd.executors.local import launching
from torcd.executors.local.link import Link
from torcd.executors.local.supervisor import Supervisor
from torcd.scheduler import commands as c
from torcd.store import Store

WARDEN = Path(__file__).with_name("stumbling_warden.py")


class Stumble(msgspec.Struct, frozen=True):
    """What the file says."""

    point: str
    both: bool
    """The other one of daemon and warden dies as well."""

    def set(self, state_dir: Path) -> None:
        _file(state_dir).write_bytes(msgspec.json.encode(self))


def is_set(state_dir: Path) -> bool:
    return _file(state_dir).exists()


def _file(state_dir: Path) -> Path:
    return state_dir / "stumble"


STATE_DIR = Path(os.environ.get("TORCD_STATE_DIR", ""))


def here(point: str) -> None:
    """We are at this point."""
    try:
        stumble = msgspec.json.decode(_file(STATE_DIR).read_bytes(), type=Stumble)
    except FileNotFoundError:
        return
    if stumble.point != point:
        return
    _file(STATE_DIR).unlink()
    if stumble.both:
        header = (STATE_DIR / "attempts" / "warden.journal").read_text().partition("\n")[0]
        os.kill(json.loads(header)["warden"], signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _commits() -> None:
    commit = Store.commit

    async def committing(store: Store, records: Sequence[c.Record], *rest: Any, **kw: Any) -> None:
        points = [point for point, is_it in COMMITS.items() if any(map(is_it, records))]
        for point in points:
            here(f"before_commit_of_{point}")
        await commit(store, records, *rest, **kw)
        for point in points:
            here(f"after_commit_of_{point}")

    Store.commit = committing  # type: ignore[method-assign]


COMMITS: dict[str, Callable[[c.Record], bool]] = {
    "submission": lambda r: isinstance(r, c.CreateWorkflow),
    "edit": lambda r: isinstance(r, c.EditWorkflow),
    "intent": lambda r: isinstance(r, c.AddAttempt) and r.attempt_key > 2,
    "end": lambda r: isinstance(r, c.SaveAttempt) and r.ended_at is not None,
    "value": lambda r: isinstance(r, c.SaveValue) and r.value.text == b"5",
    "cancel": lambda r: isinstance(r, c.SaveJob) and r.stopping,
    "last_end": lambda r: isinstance(r, c.SaveWorkflow) and r.ended_at is not None,
}
"""Of what is in the batch. The first two attempts are chosen with the submission."""


def _orders() -> None:
    flush = Link._flush
    deliver = Supervisor._deliver

    def flushing(link: Link) -> None:
        words = b"".join(link._output)
        flush(link)
        for word in ("start", "acknowledge", "stop"):
            if f'"{word}"'.encode() in words:
                here(f"after_sending_{word}")

    def delivering(supervisor: Supervisor, reports: list[Report], *rest: Any) -> None:
        for report in reports:
            if isinstance(report, Started):
                here("before_hearing_of_a_start")
            if isinstance(report, Exited):
                here("before_hearing_of_an_end")
        deliver(supervisor, reports, *rest)

    Link._flush = flushing  # type: ignore[method-assign]
    Supervisor._deliver = delivering  # type: ignore[method-assign]


def _then(module: Any, name: str, point: str) -> None:
    """Die after this function."""
    function = getattr(module, name)

    def wrapped(*arguments: Any) -> Any:
        result = function(*arguments)
        here(point)
        return result

    setattr(module, name, wrapped)


def _before_serving() -> None:
    notify = daemon.notify

    def notifying(message: str) -> None:
        here("before_serving")
        notify(message)

    daemon.notify = notifying  # type: ignore[attr-defined]


if __name__ == "__main__":
    _commits()
    _orders()
    _then(preparing, "write_inputs", "after_writing_inputs")
    _then(harvest, "harvest_all", "after_looking_at_outputs")
    _before_serving()
    launching._PROGRAM = str(WARDEN)
    sys.exit(__main__.main())
