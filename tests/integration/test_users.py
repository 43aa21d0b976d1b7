"""A daemon of root's and its users: each job runs as whoever submitted it."""

import os
import pwd
import signal
import stat
from collections.abc import Iterator

import pytest

from tests.second_user import GROUP, as_user, name_of, needs_root
from tests.user_world import wait_until_gone
from tests.users_world import Somebody, World, shared_daemon
from torcd.protocol import manager as m

pytestmark = needs_root


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    with shared_daemon() as world:
        yield world


@pytest.fixture
def world() -> Iterator[World]:
    """Of a test that kills parts of it."""
    with shared_daemon() as world:
        yield world


def who_am_i(job: str = "who") -> dict[str, object]:
    return {"name": job, "command": "id -u; id -g; id -G; pwd; echo $HOME; umask"}


def test_a_job_runs_as_who_submitted_it_with_their_groups_and_home(shared: World) -> None:
    for somebody in (shared.alice, shared.bob):
        key = somebody.submits({"jobs": [who_am_i()]})
        assert somebody.waits(key)["who"]["status"] == "completed"
        user = pwd.getpwuid(somebody.uid)
        groups = os.getgrouplist(user.pw_name, user.pw_gid)
        uid, gid, gids, cwd, home, _ = somebody.log(key, "who").read_text().splitlines()
        assert (int(uid), int(gid)) == (somebody.uid, user.pw_gid)
        assert sorted(map(int, gids.split())) == sorted(groups)
        assert cwd == home == str(somebody.home)


def test_root_gets_its_jobs_run_as_root_and_nobody_else_does(shared: World) -> None:
    done = shared.daemon.run({"jobs": [{"name": "j", "command": "id -u > who"}]})
    assert done.returncode == 0, done.stderr
    assert (shared.daemon.directory / "who").read_text() == "0\n"
    claims = {"user": "root", "env": {"USER": "root", "LOGNAME": "root", "UID": "0"}}
    key = shared.alice.submits({**claims, "jobs": [who_am_i()]}, user="root")
    shared.alice.waits(key)
    assert shared.alice.log(key, "who").read_text().startswith(f"{shared.alice.uid}\n")


def test_a_job_has_none_of_roots_rights_left(shared: World) -> None:
    command = "grep -E '^(Uid|Cap...):' /proc/self/status"
    key = shared.alice.submits({"jobs": [{"name": "j", "command": command}]})
    shared.alice.waits(key)
    facts = dict(line.split(":\t") for line in shared.alice.log(key, "j").read_text().splitlines())
    assert facts["Uid"] == "\t".join([str(shared.alice.uid)] * 4)
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(facts[name], 16) == 0


def test_a_job_finds_nothing_open_that_is_not_its_own(shared: World) -> None:
    key = shared.alice.submits({"jobs": [{"name": "j", "command": ["ls", "/proc/self/fd"]}]})
    shared.alice.waits(key)
    # The last is the directory that ls reads.
    assert shared.alice.log(key, "j").read_text().split() == ["0", "1", "2", "3"]


def test_logs_and_values_of_a_job_are_its_users_alone(shared: World) -> None:
    key = shared.alice.submits(
        {
            "user_data": [{"name": "i", "data": [1]}, {"name": "o"}],
            "jobs": [
                {
                    "name": "j",
                    "command": (
                        "cat $TORC_INPUTS; stat -c '%u %a' $TORC_INPUTS $(dirname $TORC_OUTPUT);"
                        " echo o=2 >> $TORC_OUTPUT"
                    ),
                    "input_user_data": ["i"],
                    "output_user_data": ["o"],
                }
            ],
        }
    )
    assert shared.alice.waits(key)["j"]["status"] == "completed"
    log = shared.alice.log(key, "j")
    uid = shared.alice.uid
    assert log.read_text() == f'{{"i":[1]}}\n{uid} 600\n{uid} 700\n'
    for path, mode in ((log, 0o600), (log.parent, 0o700)):
        facts = path.stat()
        assert (facts.st_uid, stat.S_IMODE(facts.st_mode)) == (uid, mode)
    assert as_user(uid, log.read_bytes) == log.read_bytes()
    assert as_user(shared.bob.uid, log.read_bytes) == b"PermissionError"
    with shared.daemon.client() as client:
        assert client.fetch("o", workflow_key=key) == 2


def test_nothing_in_the_state_directory_can_be_read_or_changed_by_a_user(shared: World) -> None:
    shared.alice.runs({"jobs": [who_am_i()]})
    everything = [*shared.daemon.state_dir.rglob("*"), shared.daemon.state_dir]
    paths = [path for path in everything if path.lstat().st_uid != shared.bob.uid]
    assert {"torcd.db", "warden.journal", "logs"} < {path.name for path in paths}

    def open_to_me() -> bytes:
        found = []
        for path in paths:
            for how in (os.R_OK, os.W_OK):
                if os.access(path, how, effective_ids=True):
                    found.append(str(path))
        return "\n".join(found).encode()

    assert as_user(shared.bob.uid, open_to_me) == b""


def test_commands_of_actions_and_invocation_scripts_run_as_the_user_too(shared: World) -> None:
    alice = shared.alice
    alice.writes("stage.sh", 'id -u > staged; exec "$@"')
    alice.runs(
        {
            "jobs": [{"name": "j", "command": ["true"], "invocation_script": "sh stage.sh"}],
            "actions": [
                {
                    "trigger_type": "on_workflow_start",
                    "action_type": "run_commands",
                    "commands": ["id -u > acted"],
                }
            ],
        }
    )
    for name in ("staged", "acted"):
        assert (alice.home / name).read_text() == f"{alice.uid}\n"
        assert (alice.home / name).stat().st_uid == alice.uid


def test_a_plain_command_is_run_without_a_shell_for_users_too(shared: World) -> None:
    key = shared.alice.submits({"jobs": [{"name": "j", "command": "readlink /proc/self/exe"}]})
    shared.alice.waits(key)
    assert shared.alice.log(key, "j").read_text().strip().endswith("readlink")


def test_what_cannot_be_started_says_why(shared: World) -> None:
    text = shared.alice.writes("text", "no program")
    jobs = shared.alice.runs(
        {
            "jobs": [
                {"name": "missing", "command": ["no-such-program"]},
                {"name": "text", "command": [str(text)]},
                {"name": "theirs", "command": "true", "cwd": str(shared.bob.home)},
                {"name": "roots", "command": "true", "cwd": "/root"},
            ]
        }
    )
    assert {job["reason"] for job in jobs.values()} == {"start_failed"}
    assert "there is no program no-such-program" in str(jobs["missing"]["message"])
    assert "not executable by this user" in str(jobs["text"]["message"])
    for name in ("theirs", "roots"):
        assert str(jobs[name]["message"]).endswith("Permission denied")
        assert "cannot enter the working directory" in str(jobs[name]["message"])


def tree(somebody: Somebody) -> tuple[str, list[int]]:
    """A workflow whose job has made processes that try to get away; their pids."""
    gate = somebody.home / "gate"
    os.mkfifo(gate)
    os.chown(gate, somebody.uid, -1)
    script = (
        "setsid sh -c 'echo $$ > gate; exec sleep 1000' & "
        "(env -i setsid sh -c 'echo $$ > gate; exec /usr/bin/sleep 1000' &) ; "
        "echo $$ > gate; wait; sleep 1000"
    )
    key = somebody.submits({"jobs": [{"name": "j", "command": script}]})
    pids: list[int] = []
    while len(pids) < 3:
        pids += [int(word) for word in gate.read_text().split()]
    gate.unlink()
    return key, pids


def test_a_cancel_ends_the_whole_tree_of_another_user(shared: World) -> None:
    key, pids = tree(shared.alice)
    assert shared.alice.asks(m.Cancel(workflow_key=key)) == {"workflow_key": key, "jobs": ["j"]}
    for pid in pids:
        wait_until_gone(pid)
    assert shared.alice.waits(key)["j"]["status"] == "canceled"


def test_jobs_of_users_outlive_daemon_and_warden_and_end_truly(world: World) -> None:
    gate = world.alice.home / "gate"
    os.mkfifo(gate)
    os.chown(gate, world.alice.uid, -1)
    command = "echo $TORC_ATTEMPT_ID >> starts; read x < gate; id -u; exit 3"
    key = world.alice.submits({"jobs": [{"name": "j", "command": command}]})
    with world.daemon.client() as client:
        for reply in client.stream(m.FollowWorkflow(workflow_key=key)):
            if reply.workflow.jobs["running"]:
                break
    world.daemon.kill()
    world.daemon.start()
    os.kill(world.daemon.warden_pid() or 0, signal.SIGKILL)
    with gate.open("w") as opened:
        opened.write("go\n")
    job = world.alice.waits(key)["j"]
    assert (job["status"], job["return_code"]) == ("failed", 3)
    assert world.alice.log(key, "j").read_text() == f"{world.alice.uid}\n"
    assert (world.alice.home / "starts").read_text() == "1\n"


def test_a_job_cannot_signal_the_warden_nor_look_into_it(shared: World) -> None:
    command = (
        "kill -KILL $PPID && echo killed; cat /proc/$PPID/environ > /dev/null && echo read;"
        " cat /proc/$PPID/mem > /dev/null && echo memory; true"
    )
    key = shared.alice.submits({"jobs": [{"name": "j", "command": command}]})
    assert shared.alice.waits(key)["j"]["status"] == "completed"
    assert shared.alice.log(key, "j").read_text() == ""
    said = shared.alice.log(key, "j", stream="stderr").read_text()
    assert "Operation not permitted" in said
    assert said.count("Permission denied") == 2


def test_files_are_looked_for_with_the_rights_of_the_owner(shared: World) -> None:
    secret = shared.bob.writes("secret")
    spec = {
        "files": [{"name": "f", "path": str(secret)}],
        "jobs": [{"name": "j", "command": "true", "input_files": ["f"]}],
    }
    refused = shared.alice.asks(shared.alice.submission(spec))
    assert refused["error"] == "io.torcd.Manager.MissingInputs"
    assert shared.bob.runs(spec)["j"]["status"] == "completed"
    made = {**spec, "jobs": [{"name": "j", "command": "true", "output_files": ["f"]}]}
    job = shared.alice.runs(made)["j"]
    assert (job["status"], job["reason"]) == ("failed", "missing_output")
    files = shared.alice.asks(m.ListFiles())["items"]
    assert [file["exists"] for file in files] == [False]


def test_a_file_is_waited_for_with_the_rights_of_the_owner(shared: World) -> None:
    spec = {
        "files": [{"name": "f", "path": "arrives"}],
        "jobs": [{"name": "j", "command": "cat arrives", "input_files": ["f"]}],
    }
    key = shared.alice.submits(spec, wait_for_inputs=True)
    hidden = {**spec, "files": [{"name": "f", "path": str(shared.alice.home / "arrives")}]}
    unseen = shared.bob.submits(hidden, wait_for_inputs=True)
    shared.alice.writes("arrives", "there")
    assert shared.alice.waits(key)["j"]["status"] == "completed"
    assert shared.bob.jobs(unseen)["j"]["status"] == "blocked"
    shared.bob.asks(m.Cancel(workflow_key=unseen))


def test_who_is_in_no_group_of_ours_is_refused_though_they_reach_the_socket(shared: World) -> None:
    shared.daemon.socket.chmod(0o666)
    answer = shared.stranger().asks(m.GetStatus())
    assert answer["error"] == "io.torcd.UserData.Denied"
    assert f"is not in the group {GROUP}" in answer["message"]


def test_the_socket_is_the_groups(world: World) -> None:
    facts = world.daemon.socket.stat()
    assert stat.S_IMODE(facts.st_mode) == 0o660
    assert (facts.st_uid, facts.st_gid) == (0, pwd.getpwuid(world.alice.uid).pw_gid)


def test_owners_are_on_disk_and_a_new_daemon_knows_them(world: World) -> None:
    key = world.alice.submits({"jobs": [who_am_i()]})
    world.alice.waits(key)
    world.daemon.stop()
    world.daemon.start()
    # Before anybody who may has had it loaded, and after.
    for _ in range(2):
        asked = world.bob.asks(m.GetWorkflow(workflow_key=key))
        assert asked["error"] == "io.torcd.Manager.UnknownWorkflow"
        found = world.alice.asks(m.GetWorkflow(workflow_key=key))["workflow"]
        assert found["owner"] == name_of(world.alice.uid)
