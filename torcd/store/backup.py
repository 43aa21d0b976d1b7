"""A copy of the database that somebody asked for, made while the daemon works."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from torcd.errors import StoreError
from torcd.store.copying import copied
from torcd.store.durable import BESIDE, beside, size_of, sync
from torcd.store.schema import look_into
from torcd.store.value_files import directory_of, known_files, may_have_files


class Backup(msgspec.Struct, frozen=True):
    """A copy that was made."""

    size_bytes: int
    lost_values: int
    """Large ones whose files were gone: they are not in it."""


def back_up(path: Path, target: Path, *, overwrite: bool = False) -> Backup:
    """Copy the database to `target`, for its owner alone.

    Raises StoreError; a file that is there already stays, unless it is to be overwritten, and then
    it stays until the copy is whole.
    """
    _check_place(path, target)
    if target.exists() and not overwrite:
        raise _is_there(target)
    try:
        with copy_of(path, target.parent, target.name) as copy:
            made = Backup(size_of(copy), _lost_values(copy))
            if overwrite:
                os.replace(copy, target)
            else:
                os.link(copy, target)
        sync(target.parent)
    except FileExistsError:
        raise _is_there(target) from None
    except OSError as error:
        raise StoreError(
            f"cannot write the backup {target}: {error.strerror}; name a file elsewhere, or make "
            "room",
            path=str(target),
            problem=str(error),
        ) from error
    return made


def _lost_values(copy: Path) -> int:
    with contextlib.closing(look_into(copy)) as connection:
        return sum(known_files(connection).values()) if may_have_files(connection) else 0


def _check_place(path: Path, target: Path) -> None:
    """Raises StoreError for what must not be replaced, asked for or not: a rename would."""
    parts = [beside(path, suffix) for suffix in BESIDE]
    if _is_same(target, path):
        problem, remedy = "the database itself", "name another file"
    elif any(_is_same(target, part) for part in (directory_of(path), *parts)):
        problem, remedy = "a part of the database", "name another file"
    elif target.parent.resolve() == directory_of(path).resolve():
        problem, remedy = "among the values of the database", "name a file elsewhere"
    elif target.is_dir():
        problem, remedy = "a directory", "name a file in it"
    elif target.exists() and not target.is_file():
        problem, remedy = "no regular file", "name another one"
    else:
        return
    raise StoreError(
        f"cannot write the backup {target}: it is {problem}; {remedy}",
        path=str(target),
        problem=f"is {problem}",
    )


def _is_same(target: Path, own: Path) -> bool:
    """Whether it is that file, or has its name, which may be needed later."""
    if target.exists() and own.exists():
        return target.samefile(own)
    return target.name == own.name and target.parent.resolve() == own.parent.resolve()


@contextlib.contextmanager
def copy_of(path: Path, directory: Path, name: str) -> Iterator[Path]:
    """A copy of the database, as `copied` makes them. Raises StoreError about the database, and
    OSError about the copy."""
    with (
        contextlib.closing(look_into(path)) as source,
        copied(source, path, directory, name) as copy,
    ):
        yield copy


def _is_there(target: Path) -> StoreError:
    return StoreError(
        f"cannot write the backup {target}: it is there already; name another file, or give "
        "--force to replace it",
        path=str(target),
        problem="is there",
    )
