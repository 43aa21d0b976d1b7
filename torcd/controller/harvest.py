"""What an attempt that ended well left behind: TORC_OUTPUT and its declared output files.

This touches files of users, which may be slow or on a network: it runs in a worker thread, for
all attempts that ended meanwhile at once. An attempt that left nothing to look at passes by.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress

import anyio
import msgspec
from anyio import to_thread

from torcd import errors, value
from torcd.accounts import Account, Accounts
from torcd.controller.layout import Layout
from torcd.controller.parsing import parse
from torcd.impersonation import acting_as
from torcd.model import AttemptKey, DataKey, FileKey
from torcd.scheduler import Scheduler
from torcd.scheduler.events import AttemptExited, Outputs
from torcd.validation import Checker
from torcd.value import Value

MAX_OUTPUT_FILE_BYTES = 4 * value.MAX_VALUE_BYTES
"""All lines of a TORC_OUTPUT together; it is read into memory whole."""

MAX_OUTPUT_LINES = 10_000
"""Each may be a revision of its own, to be kept and told: more of them keep everybody waiting."""


MAX_SHOWN_CHARACTERS = 100
"""Of a name in a message."""


class Expected(msgspec.Struct, frozen=True):
    """What a job declared."""

    output_path: str
    data: dict[str, DataKey]
    """Its output user_data by name."""
    schemas: dict[DataKey, bytes]
    """Of those that have one."""
    files: tuple[tuple[FileKey, str], ...]
    """Its output files and where they are to be."""
    user: Account | None = None
    """Whose it is, if not ours."""


class Harvester:
    """Adds to the news that an attempt exited what it left behind."""

    def __init__(
        self,
        scheduler: Scheduler,
        accounts: Accounts,
        layout: Layout,
        max_value_bytes: int,
        checker: Checker,
        harvested: Callable[[AttemptExited], None],
    ) -> None:
        self._scheduler = scheduler
        self._accounts = accounts
        self._layout = layout
        self._max_value_bytes = max_value_bytes
        self._checker = checker
        self._harvested = harvested
        self._waiting: list[AttemptExited] = []
        self._arrived = anyio.Event()
        self._left_nothing: set[AttemptKey] = set()
        """Those that are over and of which no file is there."""

    def take(self, event: AttemptExited) -> None:
        """Its outputs are not known yet."""
        if event.return_code == 0 and self._left_something(event.attempt_key):
            self._waiting.append(event)
            self._arrived.set()
        else:
            self._harvested(event)

    def clear(self, attempts: Iterable[AttemptKey]) -> None:
        """Remove their files: their results are on disk."""
        paths: list[str] = []
        for key in attempts:
            if key in self._left_nothing:
                self._left_nothing.discard(key)
            else:
                paths += self._layout.files_of(key)
        remove(paths)

    async def run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived = anyio.Event()
            events, self._waiting = self._waiting, []
            expected = [self._expected(event.attempt_key) for event in events]
            found = await to_thread.run_sync(
                harvest_all, expected, self._max_value_bytes, self._checker
            )
            for event, outputs in zip(events, found, strict=True):
                self._harvested(msgspec.structs.replace(event, outputs=outputs))

    def _left_something(self, attempt_key: AttemptKey) -> bool:
        found = self._scheduler.active_attempt(attempt_key)
        if found is None:
            return False
        job = found[1].job
        user = self._accounts.acts_as(found[0].workflow.owner)
        # os.path.lexists would make an exception of what is so for nearly all.
        path = self._layout.output(attempt_key, user)
        if os.access(path, os.F_OK, follow_symlinks=False):
            return True
        if not (job.input_user_data or job.awaits):  # there is no TORC_INPUTS either
            self._left_nothing.add(attempt_key)
        return bool(job.output_files)

    def _expected(self, attempt_key: AttemptKey) -> Expected | None:
        found = self._scheduler.active_attempt(attempt_key)
        if found is None:
            return None
        node, job = found
        user = self._accounts.acts_as(node.workflow.owner)
        wanted = set(job.job.output_files)
        data = [node.data[key].data for key in job.job.output_user_data]
        return Expected(
            output_path=self._layout.output(attempt_key, user),
            data={one.name: one.key for one in data},
            schemas={one.key: bytes(one.schema) for one in data if one.schema is not None},
            files=tuple((f.key, f.path) for f in node.workflow.files if f.key in wanted),
            user=user,
        )


def harvest_all(
    expected: list[Expected | None], max_value_bytes: int, checker: Checker
) -> list[Outputs]:
    """Of several attempts at once; nothing for those of which nothing is expected any more."""
    return [
        Outputs() if one is None else harvest(one, max_value_bytes, checker) for one in expected
    ]


def harvest(expected: Expected, max_value_bytes: int, checker: Checker) -> Outputs:
    """Never raises: what cannot be read is a problem of the attempt."""
    missing: tuple[FileKey, ...] = ()
    try:
        with acting_as(expected.user):
            missing = tuple(key for key, path in expected.files if not os.path.lexists(path))
            text = _read(expected.output_path, expected.user)
    except OSError as e:
        return Outputs(missing_files=missing, problem=f"TORC_OUTPUT cannot be read: {e.strerror}")
    except ValueError as e:
        return Outputs(missing_files=missing, problem=str(e))
    if text.count(b"\n") > MAX_OUTPUT_LINES:
        problem = (
            f"TORC_OUTPUT has more than {MAX_OUTPUT_LINES} lines; store many values as one, "
            "as a list or an object"
        )
        return Outputs(missing_files=missing, problem=problem)
    values: list[tuple[DataKey, Value]] = []
    for number, line in enumerate(text.split(b"\n"), start=1):
        try:
            found = _parse_line(line, expected, max_value_bytes, checker)
        except (errors.UserError, ValueError) as e:
            return Outputs(missing_files=missing, problem=f"TORC_OUTPUT, line {number}: {e}")
        if found is not None:
            values.append(found)
    return Outputs(values=tuple(values), missing_files=missing)


def remove(paths: list[str]) -> None:
    """The files of attempts whose results are on disk. What is not there is no trouble, and a
    directory that a job has put in a file's place goes if it is empty."""
    for path in paths:
        try:
            os.unlink(path)
        except IsADirectoryError:
            with suppress(OSError):
                os.rmdir(path)
        except OSError:
            continue


def _read(path: str, user: Account | None) -> bytes:
    owner = os.geteuid() if user is None else user.uid
    try:
        # O_NONBLOCK: a job may have put a pipe there, whose opening would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return b""
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError("TORC_OUTPUT is a symbolic link; write to the file itself") from None
        raise
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise ValueError("TORC_OUTPUT is not a regular file any more")
        if facts.st_uid not in (owner, 0):  # root: for those who write with sudo
            raise ValueError(f"TORC_OUTPUT belongs to user {facts.st_uid}")
        if facts.st_size > MAX_OUTPUT_FILE_BYTES:
            raise ValueError(
                f"TORC_OUTPUT has {facts.st_size} bytes, {MAX_OUTPUT_FILE_BYTES} are allowed"
            )
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_OUTPUT_FILE_BYTES)
    finally:
        os.close(descriptor)


def _shown(name: str) -> str:
    """A name that was meant as one. What stands before a = may also be a piece of a value that was
    written over several lines, and values are not for messages."""
    is_name = len(name) <= MAX_SHOWN_CHARACTERS and not set(name) & set(" \t\"'{}[],:")
    return f'"{name}"' if is_name else "what is before the ="


def _parse_line(
    line: bytes, expected: Expected, max_value_bytes: int, checker: Checker
) -> tuple[DataKey, Value] | None:
    line = line.rstrip(b"\r")
    if not line.strip():
        return None
    name_bytes, equals, text = line.partition(b"=")
    name = name_bytes.decode("utf-8", "replace").strip()
    if not equals:
        raise ValueError("there is no =; a line is NAME=JSON")
    key = expected.data.get(name)
    if key is None:
        declared = ", ".join(f'"{known}"' for known in expected.data) or "none"
        raise ValueError(
            f"the job does not declare {_shown(name)} in its output_user_data "
            f"(declared: {declared})"
        )
    parsed = parse(text, name=name, max_bytes=max_value_bytes)
    if key in expected.schemas:
        checker.require_fit(expected.schemas[key], parsed.text, name=name)
    return key, parsed
