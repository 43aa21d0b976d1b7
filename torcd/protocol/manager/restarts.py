"""Running a workflow again, but only what has to."""

from typing import Literal

import msgspec

from torcd.model import JobStatus
from torcd.protocol.request import Request

Outlook = Literal["will_run", "may_run", "up_to_date"]


class Restart(Request["Restarted"], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Begin a new run of a workflow that is over, in which only what is out of date runs again. If
    nothing is, nothing changes. All or nothing; answers when it is on disk for good.

    `jobs` (names, keys or patterns), `statuses` and `return_codes` choose jobs, those for which all
    that is given holds: they run, out of date or not, and all that comes after them if it has to;
    with `only`, nothing else. `dry_run` says what would run and changes nothing.

    To find out what has changed, files are read. With `more`, it is told in between how far that
    is: in answers that have `progress`."""

    workflow_key: str | None = None
    jobs: list[str] | None = None
    statuses: list[JobStatus] | None = None
    return_codes: list[int] | None = None
    only: bool | None = None
    dry_run: bool | None = None


class Outlooks(msgspec.Struct, frozen=True, kw_only=True):
    """Of how many jobs it is what."""

    will_run: int
    may_run: int
    up_to_date: int


class JobOutlook(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a job in a restart, and why. `will_run`; `may_run`: something before it runs,
    and if that makes what it made before, this need not run; or `up_to_date`."""

    key: str
    name: str
    status: JobStatus
    outlook: Outlook
    reason: str


class ReadingFiles(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is with the files that have to be read."""

    files: int
    files_read: int
    bytes: int
    bytes_read: int


class Restarted(msgspec.Struct, frozen=True, kw_only=True):
    """`items` are the jobs in the order of the spec, in whose states `status` is that before the
    restart. `run_id` is the run that has begun, or would; if nothing runs (`restarted` is false
    though it was no `dry_run`), the one there is."""

    workflow_key: str
    restarted: bool
    run_id: int
    outlooks: Outlooks
    items: list[JobOutlook]
    progress: ReadingFiles | None = None
