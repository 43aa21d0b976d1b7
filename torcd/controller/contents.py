"""What is in a file: known again at a glance, or by its SHA-256. Looks at the disk: for a worker
thread.

A path may lead to anything. A directory is all that is below it, up to a number of entries. Of what
cannot be read (a pipe, a device, a file without the permission) only the outside is known: it
counts as changed when that has. Nothing here raises because of what it finds.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator

import msgspec

from torcd.model import FileState

MAX_ENTRIES = 50_000
"""Below a directory: looking at them takes about a second. A larger one is known by its own outside
alone, which changes when something is put into it or taken out, but not when something in it is
written to."""

CHUNK_BYTES = 1 << 20

_NOT_THERE = (FileNotFoundError, NotADirectoryError)


class Glance(msgspec.Struct, frozen=True, gc=False):
    """What can be seen of a file without reading it. Of a directory: the sum of sizes, and a number
    made of all that can be seen of what is in it."""

    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int
    """The newest change; no part of what it is known by."""
    is_directory: bool = False

    def fits(self, state: FileState | None) -> bool:
        """Whether that is what is known of the file already."""
        return state is not None and (self.size, self.mtime_ns, self.inode) == (
            state.size,
            state.mtime_ns,
            state.inode,
        )

    def is_that(self, other: "Glance | None") -> bool:
        """Whether it looks the same."""
        return other is not None and (self.size, self.mtime_ns, self.inode) == (
            other.size,
            other.mtime_ns,
            other.inode,
        )


class Abandoned(Exception):
    """Nobody wants to know any more."""


Read = Callable[[int], None]
"""Told of every so many bytes that were read; may raise Abandoned."""


def _unwatched(_: int) -> None: ...


def glance(path: str) -> Glance | None:
    """None: there is nothing of that name."""
    found = _outside(path)
    if found is None:
        return None
    if stat.S_ISDIR(found.st_mode):
        return _glance_into(path, found)
    return Glance(found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns)


def glance_at_file(path: str) -> Glance | None:
    """The same at no more cost than one question to the kernel: None for a directory as well."""
    found = _outside(path)
    if found is None or stat.S_ISDIR(found.st_mode):
        return None
    return Glance(found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns)


def state_of(path: str, seen: Glance, read: Read = _unwatched) -> FileState:
    """What is in a file of which this was seen. If it is changed meanwhile, the next glance does
    not fit what is returned, and it is read again then. Raises what `read` raises."""
    digest = hashlib.sha256()
    found = _outside(path)
    if found is not None and stat.S_ISDIR(found.st_mode):
        entries = _entries(path)
        if entries is None:
            _take_outside(digest, found)
        for name, facts in entries or ():
            digest.update(f"{len(name)}:".encode() + name + b"\0")
            if stat.S_ISDIR(facts.st_mode):
                digest.update(b"directory\0")
            else:
                _take(digest, os.path.join(os.fsencode(path), name), facts, read)
    elif found is not None:
        _take(digest, os.fsencode(path), found, read)
    return FileState(seen.size, seen.mtime_ns, seen.inode, digest.hexdigest())


def _outside(path: str) -> os.stat_result | None:
    """Of what a path leads to; of a link that leads nowhere, the link's own."""
    try:
        return os.stat(path)
    except _NOT_THERE:
        pass
    except (OSError, ValueError):
        # It may be there: a link that leads to itself, a directory that may not be entered.
        pass
    try:
        return os.lstat(path)
    except (OSError, ValueError):
        return None


def _glance_into(path: str, own: os.stat_result) -> Glance:
    entries = _entries(path)
    size, newest, seen = 0, own.st_ctime_ns, hashlib.sha256()
    if entries is None:
        seen.update(f"{own.st_mtime_ns}".encode())
    for name, facts in entries or ():
        newest = max(newest, facts.st_ctime_ns)
        line = f"{len(name)} {stat.S_IFMT(facts.st_mode)}"
        if not stat.S_ISDIR(facts.st_mode):
            size += facts.st_size
            line += f" {facts.st_size} {facts.st_mtime_ns} {facts.st_ino}"
        seen.update(line.encode() + b" " + name + b"\0")
    number = int.from_bytes(seen.digest()[:7], "big")
    return Glance(size, number, own.st_ino, newest, is_directory=True)


def _entries(path: str) -> list[tuple[bytes, os.stat_result]] | None:
    """All that is below a directory, by its path in it, in order; links are not followed. None:
    there is too much."""
    found: list[tuple[bytes, os.stat_result]] = []
    for entry in _walk(os.fsencode(path), b""):
        if len(found) == MAX_ENTRIES:
            return None
        found.append(entry)
    found.sort(key=lambda entry: entry[0])
    return found


def _walk(root: bytes, first: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    to_see = [first]
    while to_see:
        directory = to_see.pop()
        try:
            with os.scandir(os.path.join(root, directory)) as entries:
                for entry in entries:
                    name = os.path.join(directory, entry.name)
                    try:
                        facts = entry.stat(follow_symlinks=False)
                    except OSError:  # it has gone meanwhile
                        continue
                    if stat.S_ISDIR(facts.st_mode):
                        to_see.append(name)
                    yield name, facts
        except OSError:  # it may not be read, or has gone
            continue


def _take(digest: "hashlib._Hash", path: bytes, facts: os.stat_result, read: Read) -> None:
    if stat.S_ISLNK(facts.st_mode):
        try:
            digest.update(b"link\0" + os.readlink(path))
        except OSError:
            _take_outside(digest, facts)
        return
    if not stat.S_ISREG(facts.st_mode):
        _take_outside(digest, facts)
        return
    try:
        # O_NONBLOCK: it may have become a pipe meanwhile, whose opening would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        _take_outside(digest, facts)
        return
    try:
        digest.update(b"file\0")
        while chunk := os.read(descriptor, CHUNK_BYTES):
            digest.update(chunk)
            read(len(chunk))
    except OSError:
        _take_outside(digest, facts)
    finally:
        os.close(descriptor)


def _take_outside(digest: "hashlib._Hash", facts: os.stat_result) -> None:
    seen = (facts.st_mode, facts.st_rdev, facts.st_size, facts.st_mtime_ns, facts.st_ino)
    digest.update(b"outside\0" + repr(seen).encode())
