"""A database that torcd cannot or must not use: said with its path, and left as it is."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon_process import BIN, START_SECONDS, Daemon
from tests.integration.test_workflows import Gate, over
from tests.user_world import User, a_user
from torcd.model import JobStatus, Reason, WorkflowStatus
from torcd.protocol import manager as m
from torcd.store.recognition import APPLICATION_ID


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    with a_user(tmp_path) as somebody:
        yield somebody


@pytest.fixture
def database(user: User) -> Path:
    """Of a user whose daemon has worked before."""
    path = user.home / "state" / "torcd" / "torcd.db"
    user.types(["torcd", "migrate"])
    return path


def contents(path: Path) -> dict[str, bytes | str]:
    found: dict[str, bytes | str] = {}
    for file in sorted(path.parent.glob("torcd.db*")):
        if file.is_symlink():
            found[file.name] = str(file.readlink())
        elif file.is_file() and not file.name.endswith(("-shm", "-lock")) and file.stat().st_size:
            found[file.name] = file.read_bytes()
    return found


def not_a_database(path: Path) -> None:
    path.write_text("precious notes, and more than sixteen bytes of them")


def empty(path: Path) -> None:
    os.truncate(path, 0)


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def symbolic_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))
    path.symlink_to("elsewhere.db")


def from_the_future(path: Path) -> None:
    _execute(path, "PRAGMA user_version = 99")


def foreign(path: Path) -> None:
    path.unlink()
    _execute(path, "CREATE TABLE theirs (a)")


def foreign_and_marked(path: Path) -> None:
    _execute(path, f"PRAGMA application_id = {APPLICATION_ID + 1}")


def log_without_database(path: Path) -> None:
    path.unlink()
    path.with_name("torcd.db-wal").write_bytes(b"what was acknowledged")


def _execute(path: Path, sql: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(sql)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (not_a_database, "it is not a database; move it away"),
        (empty, "it is empty, and it was not"),
        (truncated, "it is damaged"),
        (from_the_future, "it was written by a newer torcd (its schema has version 99"),
        (foreign, "it belongs to another program"),
        (foreign_and_marked, "it belongs to another program"),
        (log_without_database, "it is gone, but its log torcd.db-wal is not"),
    ],
)
def test_starting_the_daemon_says_what_is_wrong_and_changes_nothing(
    user: User, database: Path, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(database)
    before = contents(database)
    done = subprocess.run(
        ["torcctl", "daemon", "start"],
        env=user.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "torcd ended with exit code 1" in done.stderr
    assert f"cannot open the database {database}: {words}" in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(database) == before


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (directory, "is no file; torcd keeps its own there: look at it and move it away"),
        (symbolic_link, "is a symbolic link; torcd keeps its own there: look at it and move it"),
    ],
)
def test_what_stands_in_its_place_and_is_no_file_of_ours_is_named_and_left(
    user: User, database: Path, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(database)
    before = contents(database)
    assert f"{database} {words}" in _said(user, "torcctl", "daemon", "start")
    assert contents(database) == before


def test_a_database_that_somebody_else_holds_is_waited_for_and_then_named(
    user: User, database: Path
) -> None:
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        said = _said(user, "torcctl", "daemon", "start")
    assert f"cannot open the database {database}: another program has it locked" in said
    assert "torcd serves" in _said(user, "torcctl", "daemon", "start")


def _said(user: User, *words: str) -> str:
    return subprocess.run(
        words, env=user.environment, capture_output=True, text=True, check=False
    ).stderr


# As root one may read and write everything: give that up.
_NO_PRIVILEGE = (
    ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.getuid() == 0 else []
)


@pytest.mark.skipif(bool(_NO_PRIVILEGE) and not shutil.which("setpriv"), reason="needs setpriv")
@pytest.mark.parametrize("mode", [0o000, 0o400])
def test_a_database_that_may_not_be_opened_is_named(user: User, database: Path, mode: int) -> None:
    before = contents(database)
    database.chmod(mode)
    said = _said(user, *_NO_PRIVILEGE, "torcd", "run")
    assert said.startswith(f"torcd: cannot open the database {database}: ")
    assert "Permission denied" in said
    assert "Traceback" not in said
    database.chmod(0o600)
    assert contents(database) == before


@pytest.mark.skipif(bool(_NO_PRIVILEGE) and not shutil.which("setpriv"), reason="needs setpriv")
@pytest.mark.parametrize("mode", [0o000, 0o500])
def test_large_values_that_may_not_be_written_are_named(
    user: User, database: Path, mode: int
) -> None:
    values = database.with_name("torcd.db-values")
    values.mkdir(exist_ok=True)
    values.chmod(mode)
    said = _said(user, *_NO_PRIVILEGE, "torcd", "run")
    values.chmod(0o700)
    assert said.startswith("torcd: ")
    assert f"Permission denied: '{values}'" in said
    assert "Traceback" not in said


def test_a_read_only_file_system_is_named(user: User, database: Path) -> None:
    flags = "-m" if os.getuid() == 0 else "-rm"
    if subprocess.run(["unshare", flags, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs mount namespaces")
    before = contents(database)
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    read_only = ["unshare", flags, "sh", "-c", script, str(database.parent)]
    said = _said(user, *read_only, "torcd", "run")
    assert "Read-only file system" in said
    assert str(database) in said
    assert "Traceback" not in said
    # Looking at it needs no writing, nor does copying it elsewhere.
    assert "is sound" in user.types([*read_only, "torcd", "check-db"])
    user.types([*read_only, "torcd", "backup", str(user.home / "backup.db")])
    assert contents(database) == before


# Moved back to a copy


def _refused(daemon: Daemon) -> str:
    done = subprocess.run(
        [str(BIN / "torcd"), "run"],
        env=daemon.environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("mark", ["kept", "removed"])
def test_a_copy_put_back_while_a_job_runs_that_it_does_not_know_is_refused(
    daemon: Daemon, tmp_path: Path, mark: str
) -> None:
    """And when the newest is put back, the job is still running and has run once."""
    database = daemon.state_dir / "torcd.db"
    copy = tmp_path / "copy.db"
    subprocess.run([str(BIN / "torcd"), "backup", str(copy)], env=daemon.environment, check=True)
    gate = Gate(tmp_path, "gate")
    key = daemon.submit(
        {"jobs": [{"name": "held", "command": f"echo once >> starts; {gate.command}"}]}
    )
    with daemon.client() as client:
        for reply in client.stream(m.FollowWorkflow(workflow_key=key)):
            if reply.workflow.jobs["running"]:
                break
    daemon.kill()
    newest = tmp_path / "newest"
    newest.mkdir()
    for file in daemon.state_dir.glob("torcd.db*"):
        if mark == "removed" or not file.name.endswith("-mark"):
            file.rename(newest / file.name)
    shutil.copy(copy, database)
    before = contents(database)

    said = _refused(daemon)

    if mark == "kept":
        assert "it is an older copy" in said
        assert contents(database) == before
    else:
        assert "jobs were started from it that it does not know" in said
    restored = subprocess.run(
        [str(BIN / "torcd"), "restore", str(copy)],
        env=daemon.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert restored.returncode == 1
    assert "jobs are still running" in restored.stderr

    for file in daemon.state_dir.glob("torcd.db*"):
        if file.is_dir():
            file.rmdir()
        elif mark == "removed" or not file.name.endswith("-mark"):
            file.unlink()
    for file in newest.iterdir():
        file.rename(daemon.state_dir / file.name)
    daemon.start()
    assert daemon.jobs(key)["held"].status is JobStatus.RUNNING
    gate.open()
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert (tmp_path / "starts").read_text() == "once\n"


def test_a_restored_backup_runs_nothing_until_somebody_says_so(
    daemon: Daemon, tmp_path: Path
) -> None:
    """A job was running when the backup was made, the next one waited; both have run since."""
    first, other = Gate(tmp_path, "first"), Gate(tmp_path, "other")
    jobs = [
        {"name": "first", "command": f"echo first >> runs; {first.command}"},
        {"name": "other", "command": f"echo other >> runs; {other.command}"},
    ]
    key = daemon.submit({"jobs": jobs}, "-j", "1")
    with daemon.client() as client:
        for reply in client.stream(m.FollowWorkflow(workflow_key=key)):
            if reply.workflow.jobs["running"]:
                break
    backup = tmp_path / "backup.db"
    subprocess.run([str(BIN / "torcd"), "backup", str(backup)], env=daemon.environment, check=True)
    first.open()
    other.open()
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    later = daemon.submit({"jobs": [{"command": "true"}]})
    over(daemon, later)
    assert daemon.stop() == 0

    done = subprocess.run(
        [str(BIN / "torcd"), "restore", str(backup)],
        env=daemon.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"workflow {key} is paused; to let it go on: torcctl -k {key} resume" in done.stdout
    daemon.start()

    found = daemon.jobs(key)
    assert found["first"].status is JobStatus.FAILED
    assert found["first"].reason is Reason.LOST
    assert found["first"].message is not None
    assert "when the backup was made" in found["first"].message
    assert found["other"].status is JobStatus.READY
    assert (tmp_path / "runs").read_text() == "first\nother\n"
    assert int(daemon.submit({"jobs": [{"command": "true"}]})) > int(later)
    assert daemon.torcctl("-k", key, "resume").returncode == 0
    other.open()
    assert over(daemon, key).status is WorkflowStatus.FAILED
    assert (tmp_path / "runs").read_text() == "first\nother\nother\n"


@pytest.mark.skipif(bool(_NO_PRIVILEGE) and not shutil.which("setpriv"), reason="needs setpriv")
@pytest.mark.parametrize("name", ["", "attempts/state_id"], ids=["all of it", "the state id"])
def test_what_may_not_be_read_any_more_is_told(tmp_path: Path, name: str) -> None:
    daemon = Daemon(tmp_path)
    daemon.program = [*_NO_PRIVILEGE, *daemon.program]
    closed = daemon.state_dir / name
    try:
        daemon.start()
        if name:
            daemon.stop()
        closed.chmod(0)
        done = daemon.torcctl("submit", "-", stdin='{"jobs": [{"command": "true"}]}')
        assert done.returncode == 3
        process = daemon.process or daemon.spawn()
        assert process.wait(timeout=START_SECONDS) == 1
        daemon.process = None
        said = daemon.log.read_text()
        assert f"Permission denied: '{daemon.state_dir}" in said
        assert "Traceback" not in said
    finally:
        closed.chmod(0o700)
        daemon.close()
