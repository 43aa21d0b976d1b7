"""What writes: commits, removals, and moving the log, one after the other.

The connection's own thread does it. But where the disk is quick, a small commit is made by the
caller's thread, which is that of the loop (`torcd.store.pace`).
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence, Set
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import msgspec

from torcd.errors import NoSpace, StoreError, TorcError
from torcd.model import Happening, Job
from torcd.scheduler.commands import (
    AddAttempt,
    CreateWorkflow,
    EditWorkflow,
    Record,
    RemoveAttempt,
    SaveAttempt,
    SaveJob,
    SaveValue,
)
from torcd.store import large_commits, sweeping, writing
from torcd.store.batch import ONLY_VALUES
from torcd.store.connection import ThreadedConnection
from torcd.store.failure import store_error
from torcd.store.mark import MarkWriter, Place
from torcd.store.pace import Pace
from torcd.store.reserve import Reserve
from torcd.store.rows import Counters
from torcd.store.value_files import ValueFiles, former_file, is_large, lacking_files
from torcd.store.writing_values import write_lone

T = TypeVar("T")

RECORD_BYTES = 512
"""What a record or a happening takes in the log, about, without values."""

MAX_VALUES_BYTES_IN_PLACE = 96 << 10
"""Of a commit of nothing but values that is made in place: those of 64 clients at once. More takes
longer than the trip to the thread that it would spare."""

MAX_BYTES_IN_PLACE = 8 << 10
"""The same with jobs in it: the ends of two, and what comes after them. Nobody waits for an answer
to more of them, and while the thread is at work the loop decides what comes next."""

MAX_LOG_PAGES = 850
"""Beyond this the log is moved into the database when whoever waits for the commit has been told.
SQLite would do that within the commit with which the log has come to 1 000 pages, and the others
are for the next one: each row that it writes may be on a page of its own."""

_QUICK = frozenset({SaveValue, SaveJob, AddAttempt, SaveAttempt, RemoveAttempt})
"""Records that take a row or two each, whatever the workflow: those of values and of jobs."""

_WITH_TEXTS = frozenset({SaveValue, CreateWorkflow, EditWorkflow})
"""Records that may take more than RECORD_BYTES."""

_Kinds = Set[type[Record]]


_Write = Callable[[sqlite3.Connection, Counters], Counters]
"""A transaction, given where counting goes on and returning where it does then."""


class What(msgspec.Struct, frozen=True, gc=False):
    """To be written, as `torcd.store.writing` has it."""

    records: Sequence[Record]
    happenings: Sequence[Happening]
    environments: writing.Environments
    boot_id: str

    def write(self, connection: sqlite3.Connection, written: Counters) -> Counters:
        return writing.write(
            connection, self.records, self.happenings, self.environments, self.boot_id, written
        )


class Commits:
    """Of one database that is open."""

    def __init__(
        self,
        path: Path,
        writer: ThreadedConnection,
        counters: Counters,
        mark: MarkWriter,
        reserve: Reserve,
        files: ValueFiles,
    ) -> None:
        self._path = path
        self._writer = writer
        self._written = counters
        """By what was committed last; of whoever writes."""
        self._mark = mark
        self._reserve = reserve
        self._files = files
        self._pace = Pace()
        self._name = str(path)  # looked at with each commit, and a Path takes longer than the look
        self._file = mark.file
        """That which is open."""

    async def commit(self, what: What, *, is_urgent: bool) -> None:
        """See `torcd.store.Store`."""
        kinds = set(map(type, what.records))
        size_bytes = _size_of(what, kinds)
        if is_urgent or not (_is_small(kinds, size_bytes) and self._here(what.write, size_bytes)):
            lacking = lacking_files(what.records) if SaveValue in kinds else []
            await self._on_the_thread(what, lacking, size_bytes, is_urgent=is_urgent)
        self._let_go(what, kinds)

    async def _on_the_thread(
        self, what: What, lacking: Sequence[SaveValue], size_bytes: int, *, is_urgent: bool
    ) -> None:
        log_bytes = size_bytes - sum(len(saved.value.text) for saved in lacking)

        def write(connection: sqlite3.Connection) -> None:
            with self._files.with_files(what.records, lacking) as records:
                filed = msgspec.structs.replace(what, records=records)
                with self._named_errors(), large_commits.for_commit_of(connection, log_bytes):
                    self._write(filed.write, connection, log_bytes, is_urgent=is_urgent)
            self._mark_now()  # the log may have been moved

        with anyio.CancelScope(shield=True), self._named_errors():
            await self._writer.call(write)
        if large_commits.is_large(log_bytes) or self._reserve.log_pages > MAX_LOG_PAGES:
            self._writer.afterwards(self._move_log)

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except TorcError:
            raise
        except Exception as error:
            raise store_error(self._path, "write to", error) from error

    def at_once(self, what: What) -> bool:
        """See `torcd.store.Store`."""
        kinds = set(map(type, what.records))
        size_bytes = _size_of(what, kinds)
        done = _is_small(kinds, size_bytes) and self._here(what.write, size_bytes)
        if done:
            self._let_go(what, kinds)
        return done

    def value_at_once(self, saved: SaveValue, told: Happening) -> bool:
        """See `Store.commit_value_at_once`."""
        size_bytes = 2 * RECORD_BYTES + len(saved.value.text)
        if size_bytes > MAX_VALUES_BYTES_IN_PLACE:
            return False
        try:
            return self._here(partial(write_lone, saved, told), size_bytes)
        except NoSpace:
            return False  # whoever waits for it hears the same

    def _here(self, write: _Write, size_bytes: int) -> bool:
        """Of something small. False: the disk is slow, or the thread is at work."""
        begin = time.monotonic()
        if not self._pace.is_quick(begin):
            return False
        connection = self._writer.at_hand()
        if connection is None:
            return False
        try:
            file = self._write(write, connection, size_bytes)
            if self._reserve.was_moved:
                self._mark_now()
            else:  # as a rule: the file is as it was
                self._mark.write(self._written, file)
        except StoreError:
            raise
        except Exception as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                return False  # another program has it locked, which may last
            raise store_error(self._path, "write to", error) from error
        self._pace.took(begin, time.monotonic())
        if self._reserve.log_pages > MAX_LOG_PAGES:
            self._writer.afterwards(self._move_log)
        return True

    def _write(
        self,
        write: _Write,
        connection: sqlite3.Connection,
        size_bytes: int,
        *,
        is_urgent: bool = False,
    ) -> Place:
        """Returns how the database's file was before."""
        file = self._look()
        if not is_urgent:
            self._reserve.keep(size_bytes)
        self._written = write(connection, self._written)
        self._reserve.written()
        return file

    def _look(self) -> Place:
        """How the database's file is. Raises StoreError if it is not the one that is open."""
        try:
            file = Place.of(self._name)
        except PermissionError as error:
            raise store_error(self._path, "write to", error) from error
        except OSError:
            raise self._replaced() from None
        if not file.is_same_file(self._file):
            raise self._replaced()
        return file

    def _replaced(self) -> StoreError:
        """SQLite would go on with the file that it has open, and nobody would ever read it."""
        return StoreError(
            f"cannot write to the database {self._path}: while torcd had it open it was "
            "removed, or another file was put in its place; put it back before you start "
            "torcd again",
            path=str(self._path),
            problem="removed or replaced",
        )

    def _mark_now(self) -> None:
        with contextlib.suppress(OSError):  # it is only less sharp
            self._mark.write(self._written, Place.of(self._name))

    def _move_log(self, connection: sqlite3.Connection) -> None:
        large_commits.move_log(connection)
        self._mark_now()  # the file has changed

    def _let_go(self, what: What, kinds: _Kinds) -> None:
        """Of the memory for large values that now have a newer revision."""
        if SaveValue not in kinds:
            return
        large = [r.data_key for r in what.records if type(r) is SaveValue and is_large(r.value)]
        if not large:
            return

        def let_go(connection: sqlite3.Connection) -> None:
            with contextlib.suppress(sqlite3.Error):
                for key in large:
                    former = former_file(connection, key)
                    if former is not None:
                        self._files.let_go(former)

        self._writer.afterwards(let_go)

    async def remove(self, step: Callable[[sqlite3.Connection], T]) -> T:
        """One step of a removal, on the thread. Raises StoreError, and NoSpace."""

        def work(connection: sqlite3.Connection) -> T:
            self._reserve.keep(sweeping.ROWS_IN_A_STEP * RECORD_BYTES)
            done = step(connection)
            self._reserve.written()
            self._mark_now()  # the log may have been moved
            return done

        try:
            return await self._writer.call(work)
        except (sqlite3.Error, OSError) as error:
            raise store_error(self._path, "write to", error) from error


def _is_small(kinds: _Kinds, size_bytes: int) -> bool:
    most_bytes = MAX_VALUES_BYTES_IN_PLACE if kinds == ONLY_VALUES else MAX_BYTES_IN_PLACE
    return size_bytes <= most_bytes and kinds <= _QUICK


def _size_of(what: What, kinds: _Kinds) -> int:
    """About how much the log grows by it, whose records are of these kinds, if no large value gets
    a file yet."""
    size = (len(what.records) + len(what.happenings)) * RECORD_BYTES
    if not kinds & _WITH_TEXTS:
        return size
    for record in what.records:
        if type(record) is SaveValue:  # most of them
            size += 0 if record.value.file else len(record.value.text)
        elif isinstance(record, CreateWorkflow):
            workflow = record.workflow
            size += workflow.size * RECORD_BYTES + sum(map(_text_size, workflow.jobs))
            size += len(record.spec or b"")
        elif isinstance(record, EditWorkflow):
            edited = (*record.jobs, *record.files, *record.user_data)
            size += len(edited) * RECORD_BYTES + sum(map(_text_size, record.jobs))
            size += len(record.spec.text or b"")
            size += sum(RECORD_BYTES + len(one.item) for one in record.spec.additions)
    return size


def _text_size(job: Job) -> int:
    size = len(job.command) if isinstance(job.command, str) else sum(map(len, job.command))
    return size + sum(map(len, job.env.values())) if job.env else size
