"""What an attempt that ended well left behind: TORC_OUTPUT and its declared output files; and what
was in these, and in the files that it has read.

This touches files of users, which may be slow or on a network: it runs in a worker thread, for
all attempts that ended meanwhile at once. An attempt with nothing to look at passes by, and one
with large files to read waits for them by itself.
"""

import errno
import os
import stat
from collections.abc import Callable, Collection
from contextlib import suppress

import anyio
import msgspec
from anyio import to_thread

from torcd import errors, value
from torcd.accounts import Account, Accounts
from torcd.controller.layout import Layout
from torcd.controller.looking import Look, Looked, Reader, States
from torcd.controller.parsing import parse
from torcd.controller.sightings import Reads, Sightings, ToSee
from torcd.impersonation import as_user
from torcd.model import AttemptKey, DataKey, FileKey
from torcd.scheduler import Scheduler
from torcd.scheduler.events import AttemptExited, Outputs
from torcd.scheduler.job_states import Running
from torcd.scheduler.nodes import JobNode
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
    files: tuple[ToSee, ...]
    """Its output files."""
    reads: Reads | None
    """What it has read, as far as it must be looked at."""
    user: Account | None = None
    """Whose it is, if not ours."""


class Harvest(msgspec.Struct, frozen=True):
    """What was found."""

    outputs: Outputs
    made: Looked
    read: Looked


class Harvester:
    """Adds to the news that an attempt exited what it left behind, and what it saw."""

    def __init__(
        self,
        scheduler: Scheduler,
        accounts: Accounts,
        layout: Layout,
        max_value_bytes: int,
        checker: Checker,
        harvested: Callable[[AttemptExited, JobNode | None], None],
    ) -> None:
        """`harvested` is also told whose attempt it is; None: it is no active one."""
        self._scheduler = scheduler
        self._accounts = accounts
        self._layout = layout
        self._max_value_bytes = max_value_bytes
        self._checker = checker
        self._harvested = harvested
        self._waiting: list[tuple[AttemptExited, Expected]] = []
        self._arrived = anyio.Event()
        self._reader = Reader()
        self.sightings = Sightings()
        self._left_nothing: set[AttemptKey] = set()
        """Those that are over and of which no file is there."""

    def take(self, event: AttemptExited) -> None:
        """Its outputs are not known yet."""
        found = self._scheduler.active_attempt(event.attempt_key)
        if found is None:
            self._harvested(event, None)
            return
        node, job = found
        if event.return_code != 0 or job.has_script_to_run:
            self._harvested(event, job)
            return
        spec = job.job
        user = self._accounts.acts_as(node.workflow.owner)
        reads = None
        if job.awaits:
            state = job.state
            started_at = state.started_at if isinstance(state, Running) else event.at
            reads = self.sightings.reads(node, job, started_at, user)
        output_path = self._layout.output(event.attempt_key, user)
        # os.path.lexists would make an exception of what is so for nearly all.
        has_output = os.access(output_path, os.F_OK, follow_symlinks=False)
        if not has_output:
            if not (spec.input_user_data or spec.awaits):
                self._left_nothing.add(event.attempt_key)  # there is no TORC_INPUTS either
            if reads is None and not spec.output_files:
                self._harvested(event, job)
                return
        data = [node.data[key].data for key in spec.output_user_data]
        expected = Expected(
            output_path=output_path,
            data={one.name: one.key for one in data},
            schemas={one.key: bytes(one.schema) for one in data if one.schema is not None},
            files=tuple(
                ToSee(key, node.files[key].path, node.file_states.get(key), user=user)
                for key in dict.fromkeys(spec.output_files)
            ),
            reads=reads,
            user=user,
        )
        self._waiting.append((event, expected))
        self._arrived.set()

    def clear(self, attempts: Collection[AttemptKey]) -> None:
        """Remove their files: their results are on disk."""
        nothing = self._left_nothing
        for key in attempts:
            if key not in nothing:
                remove(self._layout.files_of(key))
        nothing.difference_update(attempts)

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            while True:
                await self._arrived.wait()
                self._arrived = anyio.Event()
                waiting, self._waiting = self._waiting, []
                expected = [one for _, one in waiting]
                found = await to_thread.run_sync(
                    harvest_all, expected, self._max_value_bytes, self._checker
                )
                for (event, one), harvest in zip(waiting, found, strict=True):
                    if harvest.made.to_read or harvest.read.to_read:
                        tasks.start_soon(self._read_and_tell, event, one, harvest)
                    else:
                        self._tell(event, one, harvest)

    async def _read_and_tell(
        self, event: AttemptExited, expected: Expected, harvest: Harvest
    ) -> None:
        """There are never more of these than attempts that have ended and are not over yet."""
        to_read = (*harvest.made.to_read, *harvest.read.to_read)
        self._tell(event, expected, harvest, await self._reader.states(to_read))

    def _tell(
        self,
        event: AttemptExited,
        expected: Expected,
        harvest: Harvest,
        read_later: States | None = None,
    ) -> None:
        changed = False
        found = self._scheduler.active_attempt(event.attempt_key)
        if expected.reads is not None and found is not None:
            changed = self.sightings.looked_at(found[0].key, expected.reads, harvest.read.changes)
        states = {**harvest.made.states, **harvest.read.states, **(read_later or {})}
        outputs = msgspec.structs.replace(
            harvest.outputs, files=tuple(states.items()), inputs_changed=changed
        )
        job = None if found is None else found[1]
        self._harvested(msgspec.structs.replace(event, outputs=outputs), job)


def harvest_all(expected: list[Expected], max_value_bytes: int, checker: Checker) -> list[Harvest]:
    """Of several attempts at once."""
    look = Look()
    found = []
    for one in expected:
        made = look.at(one.files)
        read = look.at(() if one.reads is None else one.reads.files)
        outputs = harvest(one, made.missing, max_value_bytes, checker)
        found.append(Harvest(outputs, made, read))
    return found


def harvest(
    expected: Expected, missing: tuple[FileKey, ...], max_value_bytes: int, checker: Checker
) -> Outputs:
    """Its values, and which files are `missing`. Never raises: what cannot be read is a problem of
    the attempt."""
    try:
        text = as_user(expected.user, _read, expected.output_path, expected.user)
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
        checker.require_fit(expected.schemas[key], bytes(parsed.text), name=name)
    return key, parsed
