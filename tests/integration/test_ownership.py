"""Where torcd keeps its things: for their owner alone, and nobody else's is used in their place."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon_process import Daemon
from tests.second_user import NOBODY, needs_root
from torcd.protocol import manager as m

SPEC = {
    "user_data": [{"name": "v"}],
    "jobs": [
        {
            "name": "j",
            "command": 'echo out; echo err >&2; echo v=1 >> "$TORC_OUTPUT"; sleep 1000',
            "output_user_data": ["v"],
        },
        {
            "name": "k",
            "command": 'test -r "$TORC_INPUTS" && sleep 1000',
            "input_user_data": ["w"],
        },
    ],
}
SPEC["user_data"].append({"name": "w", "data": 1})  # type: ignore[arg-type]


@pytest.fixture
def stopped(daemon: Daemon) -> Daemon:
    """Its state is there, and it does not run; nor does its warden."""
    daemon.submit({"jobs": [{"command": "true"}]})
    assert daemon.torcctl("wait").returncode == 0
    with daemon.client() as client:
        client.call(m.Stop(jobs="terminate"))
    assert daemon.process is not None
    daemon.process.wait()
    daemon.process = None
    return daemon


def start_is_refused(daemon: Daemon, *words: str) -> None:
    before = daemon.log.stat().st_size
    with pytest.raises(AssertionError, match="did not start"):
        daemon.start()
    said = daemon.log.read_bytes()[before:].decode()
    assert "Traceback" not in said
    for word in words:
        assert word in said


def test_all_that_is_kept_is_for_its_owner_alone(daemon: Daemon) -> None:
    mask = os.umask(0)
    os.umask(mask)
    key = daemon.submit(SPEC)
    logs = daemon.state_dir / "logs" / key
    while {job.status.value for job in daemon.jobs(key).values()} != {"running"} or not all(
        path.stat().st_size for path in logs.glob("*.1.1.*") if path.name.startswith("2.")
    ):
        daemon.check()
    open_ones = [
        path
        for path in [daemon.socket.parent, daemon.state_dir, *daemon.state_dir.rglob("*")]
        if stat.S_IMODE(path.lstat().st_mode) != (0o700 if path.is_dir() else 0o600)
        # Made by the job, in a directory that only its owner can enter.
        and not path.name.endswith(".output")
    ]
    assert open_ones == []
    assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o600
    kept = {path.name for path in daemon.state_dir.rglob("*")}
    assert {"torcd.db", "torcd.db-wal", "warden.log", "warden.journal", "state_id"} <= kept


def test_what_was_left_open_to_others_is_closed_at_the_start(stopped: Daemon) -> None:
    state = stopped.state_dir
    closed = [state, state / "logs", state / "attempts"]
    private = [state / "torcd.db", state / "attempts" / "warden.log", state / "attempts/state_id"]
    for path in closed:
        path.chmod(0o755)
    for path in private:
        path.chmod(0o644)
    stopped.start()
    assert [stat.S_IMODE(path.stat().st_mode) for path in closed] == [0o700] * 3
    assert [stat.S_IMODE(path.stat().st_mode) for path in private] == [0o600] * 3


FILES = (
    "torcd.db",
    "torcd.db-wal",
    "torcd.db-shm",
    "torcd.db-lock",
    "torcd.db-mark",
    "attempts/state_id",
    "attempts/warden.lock",
    "attempts/warden.journal",
    "attempts/warden.log",
)


@pytest.mark.parametrize("name", FILES)
def test_a_symbolic_link_in_the_place_of_a_file_is_refused(stopped: Daemon, name: str) -> None:
    target = stopped.directory / "precious"
    target.write_text("precious")
    path = stopped.state_dir / name
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    start_is_refused(stopped, str(path), "symbolic link")
    assert target.read_text() == "precious"
    assert path.is_symlink()


@needs_root
@pytest.mark.parametrize("name", ["", "logs", *FILES])
def test_what_belongs_to_somebody_else_is_refused(stopped: Daemon, name: str) -> None:
    path = stopped.state_dir / name
    if not path.exists():
        path.touch()
    os.chown(path, NOBODY, -1)
    start_is_refused(stopped, str(path), f"belongs to user {NOBODY}")
    assert path.stat().st_uid == NOBODY


@needs_root
@pytest.mark.parametrize("name", ["", "logs", "attempts"])
def test_a_directory_in_which_others_could_leave_something_is_refused(
    stopped: Daemon, name: str
) -> None:
    path = stopped.state_dir / name
    path.chmod(0o777)
    start_is_refused(stopped, str(path), "written by everybody")


@needs_root
@pytest.mark.parametrize("name", ["", "logs", "attempts"])
def test_a_link_to_a_directory_is_followed_if_it_is_our_own(stopped: Daemon, name: str) -> None:
    path = stopped.state_dir / name
    moved = stopped.directory / "elsewhere"
    path.rename(moved)
    path.symlink_to(moved)
    os.chown(path, NOBODY, -1, follow_symlinks=False)
    start_is_refused(stopped, str(path), f"belongs to user {NOBODY}")
    os.chown(path, 0, -1, follow_symlinks=False)
    stopped.start()
    assert stopped.run({"jobs": [{"command": "true"}]}).returncode == 0


@needs_root
def test_a_state_directory_that_others_could_replace_is_refused(stopped: Daemon) -> None:
    above = stopped.state_dir.parent
    above.chmod(0o777)
    start_is_refused(stopped, str(above), "replace what is in it")
    above.chmod(0o1777)  # as /tmp
    stopped.start()


@needs_root
@pytest.mark.parametrize("kind", ["file", "link", "socket", "directory", "link_above"])
def test_what_others_put_in_the_way_of_the_socket_is_left_alone(stopped: Daemon, kind: str) -> None:
    path = stopped.socket
    make: dict[str, Callable[[], object]] = {
        "file": path.touch,
        "link": lambda: path.symlink_to("/etc/passwd"),
        "socket": lambda: bound(path),
        "directory": path.mkdir,
        "link_above": lambda: linked_above(path),
    }
    make[kind]()
    made = path.parent if kind == "link_above" else path
    os.chown(made, NOBODY, -1, follow_symlinks=False)
    facts = made.lstat()[:6]  # all but its times
    start_is_refused(stopped, str(made), "--socket")
    assert made.lstat()[:6] == facts


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def linked_above(path: Path) -> None:
    moved = path.parent.with_name("moved")
    path.parent.rename(moved)
    path.parent.symlink_to(moved)


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ('ln -s /etc/passwd "$TORC_OUTPUT"', "is a symbolic link"),
        ('ln -s nowhere "$TORC_OUTPUT"', "is a symbolic link"),
        ('mkfifo "$TORC_OUTPUT"', "not a regular file"),
        ('mkdir "$TORC_OUTPUT"', "not a regular file"),
        pytest.param(
            'echo v=1 > "$TORC_OUTPUT"; chown nobody "$TORC_OUTPUT"',
            "belongs to user",
            marks=needs_root,
        ),
    ],
)
def test_a_torc_output_that_is_not_the_jobs_own_file_fails_it(
    daemon: Daemon, command: str, problem: str
) -> None:
    spec = {
        "user_data": [{"name": "v"}],
        "jobs": [{"name": "j", "command": command, "output_user_data": ["v"]}],
    }
    assert daemon.run(spec).returncode == 4
    (job,) = daemon.json("jobs")["items"]
    assert (job["status"], job["reason"]) == ("failed", "bad_output")
    assert problem in job["message"]
    assert "root:" not in job["message"]
