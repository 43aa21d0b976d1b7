"""What jobs have read: which files to look at when one has ended, and whether they were changed
while it ran.

A file that no job makes is looked at when a job that reads it ends well: what was in it then is
what the job saw, unless it was changed in between. That it was not is known if it looks as it did
when the run began; if it looks otherwise, the time of its last change tells (`ctime`, which nobody
can set back).

Many jobs may read the same, and what several read together is a group. So what was looked at a
moment ago is not looked at again; if it has been changed since, the next restart sees that it is
not as it was found, and the job runs again.
"""

import time
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from torcd.accounts import Account
from torcd.controller.contents import Glance, glance, state_of
from torcd.impersonation import as_user
from torcd.model import FileKey, FileState, Timestamp, WorkflowKey
from torcd.scheduler.nodes import GateNode, JobNode
from torcd.scheduler.state import WorkflowNode

RECHECK_SECONDS = 1.0
"""Not long for whoever edits files while jobs run, and rarely enough for a group of thousands."""

TICK_MICROSECONDS = 20_000
"""The kernel dates changes by a clock that stands still for up to 10 ms."""


class ToSee(msgspec.Struct, frozen=True):
    """A file to look at, and what is known of it."""

    key: FileKey
    path: str
    known: FileState | None
    at_first: Glance | None = None
    """How it looked when the run began, if that is known."""
    user: Account | None = None
    """Who looks, if not we."""

    def glance(self) -> Glance | None:
        return as_user(self.user, glance, self.path)

    def state(self, seen: Glance) -> FileState:
        return as_user(self.user, state_of, self.path, seen)

    def was_changed(self, seen: Glance) -> bool:
        """Whether it may have been changed since the run began."""
        if self.at_first is not None:
            return not seen.is_that(self.at_first)
        return not seen.fits(self.known)


class Reads(msgspec.Struct, frozen=True):
    """What an attempt that has ended has read, as far as it must be looked at."""

    subjects: tuple[int, ...]
    """What it waited for: these will have been looked at."""
    files: tuple[ToSee, ...]
    started_at: Timestamp
    changed: bool
    """Something that need not be looked at was changed while it ran, as was seen a moment ago."""


class _Seen(msgspec.Struct, frozen=True):
    at: float
    """By the monotonic clock."""
    changed_at: int
    """The newest change since the run began, in microseconds; 0 without any."""


class Sightings:
    """Of workflows that are not over."""

    def __init__(self) -> None:
        self._at_first: dict[WorkflowKey, dict[FileKey, Glance]] = {}
        self._seen: dict[WorkflowKey, dict[int, _Seen]] = {}

    def run_begins(self, key: WorkflowKey, files: Mapping[FileKey, Glance]) -> None:
        """So its files look now."""
        self._at_first[key] = dict(files)

    def appeared(self, key: WorkflowKey, file_key: FileKey, seen: Glance) -> None:
        self._at_first.setdefault(key, {})[file_key] = seen

    def forget(self, key: WorkflowKey) -> None:
        """The run is over."""
        self._at_first.pop(key, None)
        self._seen.pop(key, None)

    def reads(
        self, node: WorkflowNode, job: JobNode, started_at: Timestamp, user: Account | None
    ) -> Reads | None:
        """Of a job that has just ended; None: there is nothing to look at."""
        seen = self._seen.get(node.key, {})
        now = time.monotonic()
        subjects, changed = [], False
        files: dict[FileKey, ToSee] = {}
        for gate in job.awaits:
            known = seen.get(gate.subject)
            if known is not None and now - known.at < RECHECK_SECONDS:
                changed |= _is_since(known.changed_at, started_at)
                continue
            if gate.made and not gate.members:
                continue
            before = len(files)
            for key in _files(gate):
                files[key] = self._to_see(node, key, user)
            # There may be a gate for each job. That it has no files is found out sooner than noted.
            if gate.members or len(files) > before:
                subjects.append(gate.subject)
        if not files and not changed:
            if subjects:
                self._note(node.key, subjects, 0)
            return None
        return Reads(tuple(subjects), tuple(files.values()), started_at, changed)

    def looked_at(self, key: WorkflowKey, reads: Reads, changes: Iterable[int]) -> bool:
        """What was to be looked at has been; `changes`: when what has changed since the run began
        did, in microseconds. Returns whether that was while the job ran."""
        newest = max(changes, default=0)
        self._note(key, reads.subjects, newest)
        return reads.changed or _is_since(newest, reads.started_at)

    def _note(self, key: WorkflowKey, subjects: Iterable[int], newest: int) -> None:
        seen = _Seen(time.monotonic(), newest)
        self._seen.setdefault(key, {}).update(dict.fromkeys(subjects, seen))

    def _to_see(self, node: WorkflowNode, key: FileKey, user: Account | None) -> ToSee:
        at_first = self._at_first.get(node.key, {}).get(key)
        return ToSee(key, node.files[key].path, node.file_states.get(key), at_first, user)


def _is_since(changed_at: int, started_at: Timestamp) -> bool:
    return changed_at > 0 and changed_at >= started_at - TICK_MICROSECONDS


def _files(awaited: GateNode) -> Iterator[FileKey]:
    """Of what was waited for: files that no job of this run has made."""
    for gate in awaited.members or (awaited,):
        if gate.made:
            continue
        if gate.kind == "file":
            yield FileKey(gate.subject)
        elif gate.kind == "job":
            for producer in gate.producers:
                yield from producer.job.output_files
