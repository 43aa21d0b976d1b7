"""The warden's journal: what its successor has to know, should it be killed at any instant.

One line per fact, each in one write, in this order for each attempt: `claimed`, then the process is
made; `started` when there is one; `exited` while the ended process is still unreaped, so that at
any instant its status is in the journal or in the kernel.

Facts are not synced: the processes that they are about do not survive a power cut either. What has
to survive it is that there was one, which the boot id in the first line shows. So a journal is
synced when it is begun, before it gets its name, and of one of another boot any part may be missing
or garbage: nothing in it counts but what can be read.

A claim without a process is either one that was never started, or one that was started, ended and
was reaped by somebody else. Who can exclude the second (the daemon was the heir of all orphans)
may start it; for everybody else it is lost. `replay` leaves that to its caller.

Where there is no room on the disk, nothing is claimed, and an ended process is left unreaped: its
status stays in the kernel until it can be written down.

Format: the first line is an object, `{"journal": 1, "boot": …, "state": …, "warden": pid,
"cgroups": directory}`, with `"anew": true` if the daemon wrote it; the others are arrays (see
`ledger`). A torn last line is one that was never written.
"""

import json
import os

TYPE_CHECKING = False  # as in typing, whose import would cost the warden memory
if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 1
REWRITE_BYTES = 1 << 20
"""Rewrite the journal when it is this large and most of it has been acknowledged: some thousands of
attempts, which takes some milliseconds."""


class UnreadableJournal(Exception):
    """Not written by this version, or damaged; the text says what to do."""


class Entry:
    """What a journal tells of one attempt."""

    __slots__ = ("born", "final", "frozen", "lane", "pid", "started", "uid")

    def __init__(self, lane: int | None, uid: int | None = None) -> None:
        self.lane = lane
        self.uid = uid
        """Of another user whom it runs as."""
        self.pid = 0
        self.born: int | None = None
        self.frozen = False
        self.started = ""
        self.final = ""


class Past:
    """What a journal tells. Empty if there is none."""

    def __init__(self) -> None:
        self.boot_id = ""
        self.state_id = 0
        self.is_anew = False
        """It was begun in the place of one that was gone (see `Journal.begin_anew`)."""
        self.warden_pid = 0
        self.cgroups = ""
        """Where attempts got theirs; empty: nowhere."""
        self.entries: dict[int, Entry] = {}


def replay(text: str, boot_id: str = "") -> Past:
    """`boot_id`: the boot we are in. Raises UnreadableJournal, about a journal of this boot only;
    one of another is told as far as it can be read."""
    past = Past()
    lines = text.split("\n")
    lines.pop()  # after the last newline: nothing, or a line torn by a kill or a full disk
    for number, line in enumerate(lines, 1):
        try:
            fact = json.loads(line)
            if isinstance(fact, dict):
                if fact["journal"] != FORMAT:
                    raise UnreadableJournal(
                        f"it has format {fact['journal']}, and this version reads {FORMAT}; "
                        "start the version that wrote it, let its jobs end, and upgrade then"
                    )
                past.boot_id, past.state_id = str(fact["boot"]), _whole(fact["state"])
                past.warden_pid = _whole(fact["warden"])
                past.cgroups = str(fact.get("cgroups", ""))
                past.is_anew = "anew" in fact
            else:
                _apply(past.entries, fact, line)
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            if past.boot_id not in ("", boot_id):
                break
            raise UnreadableJournal(
                f"line {number} is damaged ({error!r}): {line[:80]!a}; move the file away "
                "and start again: jobs that still run are found, what else was started is lost"
            ) from error
    return past


def _apply(entries: dict[int, Entry], fact: list[object], line: str) -> None:
    match fact:
        case ["claimed", list(claims)]:
            for key, lane, *uid in claims:
                entries[_whole(key)] = Entry(
                    None if lane is None else _whole(lane), _whole(uid[0]) if uid else None
                )
        case ["returned" | "acknowledged", list(keys)]:
            for key in keys:
                entries.pop(key, None)
        case ["started", int(key), int(pid), int(), born, *_]:
            entry = entries.setdefault(_whole(key), Entry(None))
            entry.pid = _whole(pid)
            entry.born = born if isinstance(born, int) else None
            entry.started = line
        case ["frozen" | "thawed" as word, list(keys)]:
            for key in keys:
                if key in entries:
                    entries[key].frozen = word == "frozen"
        case ["exited" | "not_started" | "lost", int(key), *_]:
            entries.setdefault(_whole(key), Entry(None)).final = line
        case _:
            raise ValueError("an unknown fact")


def _whole(number: object) -> int:
    if type(number) is not int or number < 0:
        raise ValueError("no whole number")
    return number


class Journal:
    """The file. Only the holder of the warden's lock writes it."""

    def __init__(self, directory: str, boot_id: str, state_id: int, cgroups: str = "") -> None:
        self._directory = directory
        self._path = f"{directory}/warden.journal"
        self._boot_id = boot_id
        self._header = {
            "journal": FORMAT,
            "boot": boot_id,
            "state": state_id,
            "warden": os.getpid(),
            "cgroups": cgroups,
        }
        self._fd = -1
        self._size = 0
        self._kept = 0
        self._waiting = ""

    @property
    def full(self) -> str:
        """That a write found no room, for people."""
        return f"the disk is full: {self._path} cannot be written"

    def read(self) -> Past:
        try:
            with open(self._path, encoding="utf-8", errors="replace") as file:
                text = file.read()
        except FileNotFoundError:
            text = ""
        try:
            return replay(text, self._boot_id)
        except UnreadableJournal as error:
            raise UnreadableJournal(f"cannot read {self._path}: {error}") from error

    def rewrite(self, facts: list[str]) -> None:
        """Replace all that is in it by these facts, at one stroke."""
        fresh = f"{self._path}.new"
        fd = os.open(
            fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        data = "\n".join([json.dumps(self._header), *facts, ""]).encode()
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
            os.rename(fresh, self._path)
        except OSError:
            os.close(fd)
            os.unlink(fresh)  # half of it keeps room from others
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        self._size = self._kept = len(data)
        self._waiting = ""

    def begin_anew(self, claims: "Mapping[int, int | None]") -> None:
        """The daemon's, when the journal is gone: nobody can tell what was claimed, so all that may
        have been counts as claimed; what has a process is found by its marker. Lanes by key."""
        self._header["anew"] = True
        self.rewrite([json.dumps(["claimed", list(claims.items())])])
        os.close(self._fd)

    @property
    def worth_rewriting(self) -> bool:
        return self._size > REWRITE_BYTES and self._size > 4 * self._kept

    def write(self, facts: str) -> bool:
        """Have it in the file, after all that was said `later`; False: there is no room."""
        data = f"{self._waiting}{facts}\n".encode()
        try:
            done = os.write(self._fd, data)
        except OSError:
            return False
        if done < len(data):  # undo the half, so that the next write begins a line
            os.ftruncate(self._fd, self._size)
            return False
        self._size += done
        self._waiting = ""
        return True

    def later(self, facts: str) -> None:
        """Have it in the file with the next write or flush."""
        self._waiting += facts + "\n"

    def flush(self) -> bool:
        """Have all in the file that was said `later`; False: there is no room."""
        if self._waiting:
            facts, self._waiting = self._waiting[:-1], ""
            if not self.write(facts):
                self.later(facts)
                return False
        return True


def say(text: str) -> None:
    """To warden.log, where there is room for it."""
    try:
        os.write(2, f"{text}\n".encode(errors="backslashreplace"))
    except OSError:
        pass
