"""An upgrade keeps the database as it was, and a downgrade is told about it."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from tests.full_disk import private_mounts
from tests.store_world import commit, create, dump, looking_at
from torcd.errors import NoSpace, StoreError
from torcd.scheduler.sharing import BOUNDLESS
from torcd.store import Migrated, Store, check, keeping, mark, migrate, restore, schema
from torcd.store.keeping import formers

NOW = schema.migrations()
NEWEST = NOW[-1][0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "torcd.db"


def made(path: Path, n_jobs: int = 2) -> None:
    async def make() -> None:
        async with Store.open(path) as store:
            await commit(store, create(n_jobs=n_jobs))

    anyio.run(make)


@contextlib.contextmanager
def a_newer_torcd(version: str, steps: int = 1, *, spoilt: bool = False) -> Iterator[None]:
    """For as long as the block lasts, torcd is that version, with so many migrations more."""
    later = [
        (NEWEST + n, f"ALTER TABLE workflow ADD COLUMN colour_{n} TEXT NOT NULL DEFAULT 'red';")
        for n in range(1, steps + 1)
    ]
    if spoilt:
        later.append((later[-1][0] + 1, "CREATE TABLE workflow (key INTEGER) STRICT;"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "migrations", lambda: [*NOW, *later])
        patch.setattr(mark, "__version__", version)
        patch.setattr("torcd.store.recognition.__version__", version)
        yield


def upgraded(path: Path, version: str = "9.0", steps: int = 1) -> Migrated:
    with a_newer_torcd(version, steps):
        return anyio.run(migrate, path)


def named(path: Path, suffix: str) -> Path:
    return path.with_name(f"torcd.db-schema-{suffix}")


def beside(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir() if "-schema-" in entry.name)


def test_the_database_is_kept_as_it_was_under_the_name_of_what_can_read_it(path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mark, "__version__", "8.1")
        made(path)
    before = dump(path)
    done = upgraded(path)
    assert done == Migrated(NEWEST, NEWEST + 1, named(path, f"{NEWEST}-torcd-8.1"))
    assert done.former is not None
    assert stat.S_IMODE(done.former.stat().st_mode) == 0o600
    assert dump(done.former) == before
    assert check(done.former, BOUNDLESS).is_sound
    with looking_at(path) as connection:
        assert connection.execute("SELECT colour_1 FROM workflow").fetchall() == [("red",)]


def test_what_is_still_in_the_log_of_a_killed_daemon_is_kept_too(path: Path) -> None:
    made(path)
    with looking_at(path) as reader:
        # As long as somebody reads, the log cannot be emptied.
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM workflow").fetchall()

        async def submit() -> None:
            async with Store.open(path) as store:
                await commit(store, create(100))

        anyio.run(submit)
        former = upgraded(path).former
    assert former is not None
    with looking_at(former) as connection:
        assert connection.execute("SELECT key FROM workflow").fetchall() == [(1,), (100,)]


def test_it_is_on_disk_before_it_has_its_name_and_before_anything_is_migrated(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(path)
    steps: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        steps.append(f"sync {name.suffix or name.name}")
        real_fsync(descriptor)

    def replace(old: Path, new: Path) -> None:
        steps.append(f"name {new.name}")
        real_replace(old, new)

    def apply(*_: object) -> int:
        steps.append("migrate")
        return 0

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(schema, "_migrate", apply)
    upgraded(path)
    copy = next(step for step in steps if step.startswith("name torcd.db-schema-"))
    assert steps[: steps.index("migrate") + 1] == ["sync .part", copy, "sync state", "migrate"]


def test_only_an_upgrade_leaves_a_copy(path: Path) -> None:
    made(path)
    anyio.run(migrate, path)
    assert beside(path) == []


def test_an_older_backup_that_is_restored_leaves_none(path: Path, tmp_path: Path) -> None:
    made(path)
    upgraded(path)
    former = formers(path)[-1].path
    saved = former.rename(tmp_path / "backup.db")
    with a_newer_torcd("9.0"):
        restore(saved, path)
    assert beside(path) == []


def test_an_upgrade_that_fails_and_is_tried_again_leaves_one_copy(path: Path) -> None:
    made(path)
    before = dump(path)
    for _ in range(2):
        with (
            a_newer_torcd("9.0", spoilt=True),
            pytest.raises(StoreError, match="already exists"),
        ):
            anyio.run(migrate, path)
    assert dump(path) == before
    (former,) = formers(path)
    assert dump(former.path) == before


def test_the_newest_few_copies_are_kept(path: Path) -> None:
    """By their time, and not by their names: 10 is after 9."""
    made(path)
    last = 10
    for step in range(1, last + 1):
        upgraded(path, f"9.{step}", step)
    kept = [(former.schema, former.torcd) for former in formers(path)]
    newest = range(last - keeping.KEPT, last)
    assert kept == [(NEWEST + step, f"9.{step}") for step in newest]


def test_a_full_disk_is_named_and_nothing_is_migrated(path: Path) -> None:
    with private_mounts() as mount:
        disk = mount(path.parent, 24 << 20)
        made(path, n_jobs=10_000)
        before = dump(path)
        disk.fill()
        # Room for what SQLite shares between connections, and not for a copy.
        ballast = disk.path / "ballast"
        os.truncate(ballast, ballast.stat().st_size - (256 << 10))
        with pytest.raises(NoSpace, match=f"the disk is full: .*{path.name}-schema-{NEWEST}"):
            upgraded(path)
        disk.make_room()
        assert beside(path) == []
        assert dump(path) == before
        assert upgraded(path).former is not None


# Going back


def refusal(path: Path) -> str:
    with pytest.raises(StoreError, match="written by a newer torcd") as caught:
        anyio.run(migrate, path)
    return caught.value.message


def test_the_older_torcd_says_which_one_to_install_or_what_to_go_back_to(path: Path) -> None:
    made(path)
    former = upgraded(path, "9.2").former
    said = refusal(path)
    assert "install torcd 9.2 again" in said
    assert f"torcd restore {former} (its schema has version {NEWEST}, written by torcd " in said


def test_what_it_says_is_what_helps(path: Path) -> None:
    made(path)
    upgraded(path)
    words = refusal(path).split()
    former = Path(words[words.index("restore") + 1])
    restored = restore(former, path)
    assert restored.replaced is not None
    with looking_at(restored.replaced) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (NEWEST + 1,)

    async def workflows() -> list[int]:
        async with Store.open(path) as store:
            return [row.key for row in await store.workflows()]

    assert anyio.run(workflows) == [1]


def test_a_copy_that_is_too_new_as_well_is_not_offered(path: Path) -> None:
    made(path)
    upgraded(path, "9.1")
    formers(path)[-1].path.unlink()
    upgraded(path, "9.2", 2)
    said = refusal(path)
    assert "install torcd 9.2 again, or restore a backup from before (torcd restore FILE)" in said


def test_a_mark_from_before_versions_were_written_names_none(path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mark, "__version__", None)
        made(path)
    assert upgraded(path).former == named(path, str(NEWEST))
    assert "written by torcd" not in refusal(path)
