"""What a user who means harm tries, with a daemon of root's: they get what they might have had
without it."""

import contextlib
import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.second_user import as_user, needs_root
from tests.user_world import wait_until_gone
from tests.users_world import Somebody, World, shared_daemon
from torcd.executors.warden import processes
from torcd.protocol import manager as m

pytestmark = needs_root

SECRET = 'o="of root"\n'


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    with shared_daemon() as world:
        yield world


@pytest.fixture
def roots_file(shared: World) -> Iterator[Path]:
    """Nobody but root may read or write it. It has to stay as it is."""
    path = shared.daemon.directory / "roots-file"
    path.write_text(SECRET)
    path.chmod(0o600)
    yield path
    facts = path.stat()
    assert path.read_text() == SECRET
    assert (facts.st_uid, stat.S_IMODE(facts.st_mode)) == (0, 0o600)
    path.unlink()


def traps(where: str, make: str, target: Path) -> dict[str, object]:
    """A workflow whose first job puts something in the place of files of its second: `where` is an
    expression for the shell, `make` a command that has $path and $target."""
    return {
        "user_data": [{"name": "i", "data": 1}, {"name": "o"}],
        "jobs": [
            {
                "name": "trap",
                "command": f"target={target}; for path in {where}; do {make}; done",
            },
            {
                "name": "victim",
                "command": "echo out; echo o=1 >> $TORC_OUTPUT",
                "depends_on": ["trap"],
                "input_user_data": ["i"],
                "output_user_data": ["o"],
            },
        ],
    }


NEXT_LOG = "{state}/logs/$TORC_WORKFLOW_KEY/$((TORC_JOB_KEY + 1)).1.1.out"
NEXT_ATTEMPT = "$((${TORC_TOKEN%%.*} + 1))"


def own(somebody: Somebody) -> str:
    return f"{somebody.daemon.state_dir}/attempts/{somebody.uid}"


def test_a_link_in_the_place_of_a_log_is_not_written_through(
    shared: World, roots_file: Path
) -> None:
    where = NEXT_LOG.format(state=shared.daemon.state_dir)
    jobs = shared.alice.runs(traps(where, "ln -s $target $path", roots_file))
    assert jobs["trap"]["return_code"] == 0
    assert jobs["victim"]["reason"] == "start_failed"
    assert "cannot create the log file" in jobs["victim"]["message"]


def test_a_link_in_the_place_of_inputs_is_not_written_through(
    shared: World, roots_file: Path
) -> None:
    where = f"{own(shared.alice)}/{NEXT_ATTEMPT}.inputs.json.new"
    jobs = shared.alice.runs(traps(where, "ln -s $target $path", roots_file))
    assert jobs["trap"]["return_code"] == 0
    assert jobs["victim"]["reason"] == "start_failed"
    assert "TORC_INPUTS cannot be written" in jobs["victim"]["message"]


OUTPUTS = {
    "a link to a file of root's": ("ln -s $target $path", "symbolic link"),
    "a pipe": ("mkfifo $path", "not a regular file"),
    "a directory": ("mkdir $path", "not a regular file"),
    "a device": ("ln -s /dev/zero $path", "symbolic link"),
    "a terabyte": ("truncate -s 1T $path", "bytes"),
}


@pytest.mark.parametrize("make", OUTPUTS)
def test_what_is_not_an_output_file_of_the_users_is_not_read(
    shared: World, roots_file: Path, make: str
) -> None:
    command, problem = OUTPUTS[make]
    spec = {
        "user_data": [{"name": "o"}],
        "jobs": [
            {
                "name": "j",
                "command": f"target={roots_file}; path=$TORC_OUTPUT; {command}",
                "output_user_data": ["o"],
            }
        ],
    }
    job = shared.alice.runs(spec)["j"]
    assert (job["status"], job["reason"]) == ("failed", "bad_output")
    assert problem in job["message"]
    assert "of root" not in job["message"]


@pytest.mark.parametrize(
    ("maker", "mode", "problem"),
    [
        ("bob", 0o666, "belongs to user {uid}"),
        ("root", 0o600, "TORC_OUTPUT cannot be read: Permission denied"),
    ],
)
def test_an_output_file_that_somebody_else_made_does_not_count(
    shared: World, maker: str, mode: int, problem: str
) -> None:
    """A hard link to it, say; the kernel may forbid those, so it is put there by root."""
    uid = shared.bob.uid if maker == "bob" else 0
    gate = shared.alice.home / "gate"
    os.mkfifo(gate)
    os.chown(gate, shared.alice.uid, -1)
    key = shared.alice.submits(
        {
            "user_data": [{"name": "o"}],
            "jobs": [
                {
                    "name": "j",
                    "command": "echo $TORC_OUTPUT > path.new; mv path.new path; read x < gate",
                    "output_user_data": ["o"],
                }
            ],
        }
    )
    # The job opens the gate only when the path is there.
    with gate.open("w") as opened:
        output = Path((shared.alice.home / "path").read_text().strip())
        output.write_text("o=1\n")
        output.chmod(mode)
        os.chown(output, uid, -1)
        opened.write("go\n")
    gate.unlink()
    job = shared.alice.waits(key)["j"]
    assert job["reason"] == "bad_output"
    assert problem.format(uid=uid) in job["message"]


def test_a_bounded_log_is_not_cut_where_a_link_leads(roots_file: Path) -> None:
    with shared_daemon(more="max_log_bytes = 4096\n") as world:
        big = world.daemon.directory / "big"
        big.write_bytes(b"x" * 100_000)
        big.chmod(0o666)
        command = (
            "log=$(readlink /proc/$$/fd/1); mv $log moved; ln -s %s $log; "
            "head -c 100000 /dev/zero; head -c 100000 /dev/zero >&2"
        )
        key = world.alice.submits({"jobs": [{"name": "j", "command": command % big}]})
        world.alice.waits(key)
        assert world.alice.log(key, "j").readlink() == big
        assert big.stat().st_size == 100_000


def hung(world: World) -> tuple[str, int]:
    """A job of alice's whose process hangs before it is its program; its key and pid."""
    where = NEXT_LOG.format(state=world.daemon.state_dir)
    key = world.alice.submits(traps(where, "mkfifo $path", Path("/dev/null")))
    with world.daemon.client() as client:
        for reply in client.stream(m.FollowWorkflow(workflow_key=key)):
            if reply.workflow.jobs["completed"]:
                break
    return key, wait_for_child(world)


def wait_for_child(world: World) -> int:
    """Of the warden: one that is alice's already, and no program yet. The kernel tells nobody."""
    warden = world.daemon.warden_pid()
    program = os.readlink(f"/proc/{warden}/exe")
    uid = f"Uid:\t{world.alice.uid}\t"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for child in Path(f"/proc/{warden}/task/{warden}/children").read_text().split():
            with contextlib.suppress(OSError):
                is_hers = uid in Path(f"/proc/{child}/status").read_text()
                if is_hers and os.readlink(f"/proc/{child}/exe") == program:
                    return int(child)
    raise AssertionError("no process hangs at its log")


def test_who_hangs_before_the_start_holds_up_nobody_else_and_can_be_canceled(
    shared: World,
) -> None:
    key, pid = hung(shared)
    assert shared.bob.runs({"jobs": [{"name": "j", "command": "true"}]})["j"]["return_code"] == 0
    assert shared.alice.jobs(key)["victim"]["status"] == "pending"
    shared.alice.asks(m.Cancel(workflow_key=key))
    wait_until_gone(pid)
    assert shared.alice.waits(key)["victim"]["status"] == "canceled"


def test_nobody_looks_into_a_process_that_is_about_to_be_theirs(shared: World) -> None:
    """It has a copy of the warden's memory, in which are the environments of others."""
    key, pid = hung(shared)

    def looks() -> bytes:
        found = []
        for name in ("mem", "environ", "maps", "root", "cwd", "fd"):
            path = f"/proc/{pid}/{name}"
            with contextlib.suppress(PermissionError):
                os.listdir(path) if name in ("root", "cwd", "fd") else os.open(path, os.O_RDONLY)
                found.append(name)
        return " ".join(found).encode()

    assert as_user(shared.alice.uid, looks) == b""
    shared.alice.asks(m.Cancel(workflow_key=key))
    shared.alice.waits(key)


def test_a_warden_that_dies_while_a_start_hangs_loses_nothing(shared: World) -> None:
    key, pid = hung(shared)
    os.kill(shared.daemon.warden_pid() or 0, 9)
    assert shared.bob.runs({"jobs": [{"name": "j", "command": "true"}]})["j"]["return_code"] == 0
    shared.alice.asks(m.Cancel(workflow_key=key))
    wait_until_gone(pid)
    assert shared.alice.waits(key)["victim"]["status"] == "canceled"


def test_a_process_with_the_marker_of_anothers_job_changes_nothing_for_it(shared: World) -> None:
    gate = shared.bob.home / "gate"
    os.mkfifo(gate)
    os.chown(gate, shared.bob.uid, -1)
    key = shared.bob.submits({"jobs": [{"name": "j", "command": "echo $$ > gate; read x < gate"}]})
    leader = int(gate.read_text())
    mark = processes.read_marker(leader)
    command = f"setsid prlimit --locks={mark}: sh -c 'sleep 1000 & sleep 1000' & echo $! > fake"
    jobs = shared.alice.runs({"jobs": [{"name": "j", "command": command}]})
    assert jobs["j"]["return_code"] == 0
    with gate.open("w") as opened:
        opened.write("go\n")
    job = shared.bob.waits(key)["j"]
    assert (job["status"], job["return_code"]) == ("completed", 0)


def test_deleting_removes_ones_logs_and_nothing_that_links_lead_to(
    shared: World, roots_file: Path
) -> None:
    kept = shared.bob.writes("kept", "x")
    command = (
        f"cd $(dirname $(readlink /proc/$$/fd/1)); ln -s {shared.bob.home} dir; "
        f"ln -s {kept} file; ln -s {roots_file} root; mkdir own; touch own/file"
    )
    key = shared.alice.submits({"jobs": [{"name": "j", "command": command}]})
    shared.alice.waits(key)
    directory = shared.alice.log(key, "j").parent
    assert (directory / "dir").is_symlink()
    shared.alice.asks(m.Delete(workflow_key=key))
    gone(shared, directory)
    assert kept.read_text() == "x"


def test_directories_deeper_than_python_can_follow_do_not_end_the_daemon(shared: World) -> None:
    command = (
        "cd $(dirname $(readlink /proc/$$/fd/1)); "
        """perl -e 'for (1..1500) { mkdir "d"; chdir "d" or die }'"""
    )
    key = shared.alice.submits({"jobs": [{"name": "deep", "command": command}]})
    assert shared.alice.waits(key)["deep"]["status"] == "completed"
    directory = shared.alice.log(key, "deep").parent
    assert (directory / "d" / "d").exists()
    shared.alice.asks(m.Delete(workflow_key=key))
    gone(shared, directory)
    shared.daemon.check()


def gone(world: World, directory: Path) -> None:
    """Wait until it is: the daemon removes it after it has said that it is deleted."""
    deadline = time.monotonic() + 20
    while directory.exists() and time.monotonic() < deadline:
        world.alice.asks(m.GetStatus())
    assert not directory.exists()


def test_many_processes_of_one_user_do_not_keep_others_out(shared: World) -> None:
    def crowd() -> bytes:
        held = []
        for _ in range(4):
            if os.fork():
                continue
            for _ in range(400):
                one = socket.socket(socket.AF_UNIX)
                one.connect(str(shared.daemon.socket))
                held.append(one)
            os.write(full[1], b"x")
            os.read(over[0], 1)
            os._exit(0)
        for _ in range(4):
            os.read(full[0], 1)
        os.write(ready[1], b"x")
        os.read(over[0], 1)
        return b""

    full, ready, over = os.pipe(), os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        as_user(shared.alice.uid, crowd)
        os._exit(0)
    try:
        os.read(ready[0], 1)
        for _ in range(3):
            assert "pid" in shared.bob.asks(m.GetStatus())
    finally:
        os.write(over[1], b"xxxxxx")
        os.waitpid(child, 0)
