"""The database as it was before a newer torcd brought it to its own schema.

It stays beside the database, as `torcd.db-schema-5-torcd-0.1.0`: so who goes back to the older
torcd, which cannot read the newer schema, has something to go back to (`torcd restore`). The name
says what can read it: the version of its schema, and the torcd that it was written by.

Tried again, after a migration that was cut short, the copy takes the place of the one before. Each
upgrade leaves one, and only the newest few are kept: they are as large as the database.
"""

import os
import re
import sqlite3
from pathlib import Path

import msgspec

from torcd import disk
from torcd.store.copying import copied
from torcd.store.durable import beside, sync
from torcd.store.mark import Mark

KEPT = 3
"""People go back by one version, seldom by two; more would be room for nothing."""

_NAME = re.compile(r"-schema-(\d+)(?:-torcd-(.+))?")


class Former(msgspec.Struct, frozen=True):
    """A copy from before an upgrade."""

    path: Path
    schema: int
    torcd: str | None
    """The version that had written it, if that is known."""


def keep(connection: sqlite3.Connection, path: Path, schema: int, mark: Mark | None) -> Path:
    """Copy the database that `connection` has open, before it is migrated; returns where it is,
    whole and on disk. Raises StoreError about the database, NoSpace and OSError about the copy."""
    name = f"-schema-{schema}" + (f"-torcd-{mark.torcd}" if mark is not None and mark.torcd else "")
    target = beside(path, name)
    try:
        with copied(connection, path, path.parent, target.name) as copy:
            os.replace(copy, target)
        for former in formers(path)[:-KEPT]:
            former.path.unlink(missing_ok=True)
        sync(path.parent)
    except OSError as error:
        if disk.is_no_room(error):
            raise disk.no_space(
                str(target), "a copy of the database, which is made before it is upgraded,"
            ) from error
        raise
    return target


def formers(path: Path) -> list[Former]:
    """Those that are kept beside the database `path`, the newest last."""
    found = []
    for entry in path.parent.glob(f"{path.name}-schema-*"):
        if match := _NAME.fullmatch(entry.name.removeprefix(path.name)):
            schema = int(match[1])
            found.append((entry.stat().st_mtime_ns, schema, Former(entry, schema, match[2])))
    # Two may be of one tick of the kernel's clock.
    return [former for *_, former in sorted(found, key=lambda one: one[:2])]
