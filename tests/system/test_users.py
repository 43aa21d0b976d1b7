"""The system's torcd and its users, with a real systemd, PAM and groups."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.machine import BIN, ROOT, Machine, booted
from tests.system.test_service import UNITS, drop_in

pytestmark = pytest.mark.xdist_group("system")

MEMBERS = ("alice", "bob", "ada")
"""Ada is an admin. Carol is in no group, and Eve is not there for long."""

EXPOSURE = {"plain": 9.6, "hardened": 4.3}
"""What `systemd-analyze security` is to say of the system's service at most; docs/security.md says
why."""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with booted() as machine:
        machine.types("torcctl", "daemon", "install")
        for name in (*MEMBERS, "carol", "eve"):
            machine.types("useradd", "--create-home", "--shell", "/bin/bash", name)
            machine.shell(f"chmod 700 /home/{name}")
        for name in (*MEMBERS, "eve"):
            machine.types("usermod", "-aG", "torcd", name)
        machine.types("usermod", "-aG", "torcd-admin", "ada")
        open_the_way(machine)
        yield machine


def open_the_way(machine: Machine) -> None:
    """To this Python, where it is below root's home. Only the booted system's is changed."""
    outside = os.stat("/").st_dev
    for place in (ROOT, BIN, Path(sys.base_prefix) / "bin"):
        for directory in (place, *place.parents):
            if directory.stat().st_dev == outside and directory != Path("/"):
                machine.types("chmod", "o+x", str(directory))
    with as_user(machine, "alice", "torcctl", "--version") as process:
        _, said = process.communicate()
    if process.returncode != 0:
        pytest.skip(f"other users cannot run the torcctl of these tests: {said}")


def as_user(machine: Machine, name: str, *words: str) -> "subprocess.Popen[str]":
    """In their home, with their groups."""
    home = {"HOME": f"/home/{name}", "USER": name, "LOGNAME": name}
    return machine.popen(
        *("runuser", "-u", name, "--", "env", f"--chdir=/home/{name}", *words), environment=home
    )


def types(
    machine: Machine, name: str, *words: str, stdin: str = "", code: int = 0
) -> "subprocess.CompletedProcess[str]":
    with as_user(machine, name, *words) as process:
        out, err = process.communicate(stdin, timeout=50)
    assert process.returncode == code, f"{name}: {' '.join(words)}\n{out}\n{err}"
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def submits(machine: Machine, name: str, *jobs: object, **more: object) -> str:
    spec = json.dumps({"jobs": jobs, **more})
    return types(machine, name, "torcctl", "submit", "-", stdin=spec).stdout.strip()


def runs(machine: Machine, name: str, command: str, **more: object) -> str:
    """What a job of theirs prints."""
    job: dict[str, object] = {"name": "j", "command": command, **more}
    types(machine, name, "torcctl", "-q", "run", "-", stdin=json.dumps({"jobs": [job]}))
    return types(machine, name, "torcctl", "logs", "j").stdout


def test_two_users_run_jobs_as_themselves(machine: Machine) -> None:
    for name in ("alice", "bob"):
        said = runs(machine, name, "id -un; id -Gn; pwd; echo $HOME $USER; touch made")
        home = f"/home/{name}"
        assert said.splitlines() == [name, f"{name} torcd", home, f"{home} {name}"]
        assert machine.shell(f"stat -c '%U:%G' {home}/made") == f"{name}:{name}"
    assert (
        machine.shell(
            "cd /; echo '{jobs: [{command: \"id -un > /root/who\"}]}' |"
            " torcctl -q run -; cat /root/who"
        )
        == "root"
    )


def test_a_job_of_a_user_stores_through_the_socket(machine: Machine) -> None:
    job = {"name": "j", "command": "torcctl data put v 7", "output_user_data": ["v"]}
    key = submits(machine, "alice", job, user_data=[{"name": "v"}])
    types(machine, "alice", "torcctl", "-k", key, "wait")
    assert types(machine, "alice", "torcctl", "-k", key, "data", "get", "v").stdout == "7\n"


def test_a_job_has_the_limits_that_pam_gives_its_user(machine: Machine) -> None:
    limits = "ulimit -a | grep -v 'file locks'"
    with_a_login = machine.types("su", "bob", "-c", limits).stdout
    assert runs(machine, "bob", limits) == with_a_login
    machine.shell(
        "printf 'alice - nofile 333\\nalice hard nproc 777\\n@torcd - core 0\\n'"
        " > /etc/security/limits.d/torcd.conf"
    )
    # What was known of them counts for some seconds, but not for a new daemon.
    machine.shell("systemctl restart torcd")
    said = runs(machine, "alice", "ulimit -n; ulimit -Hu; ulimit -c; ulimit -Hn 1000 || true")
    assert said.split() == ["333", "777", "0"]
    assert runs(machine, "bob", "ulimit -Sn; ulimit -c").split()[1] == "0"
    machine.shell("rm /etc/security/limits.d/torcd.conf; systemctl restart torcd")


def test_who_is_not_in_the_group_is_told_so(machine: Machine) -> None:
    socket = "/run/torcd/torcd.sock"
    done = types(machine, "carol", "torcctl", "--socket", socket, "ls", code=3)
    assert "only root and members of the group torcd may use it" in done.stderr
    # Without a word about sockets carol has a daemon of her own.
    done = types(machine, "carol", "torcctl", "ls", code=3)
    assert "torcctl daemon start" in done.stderr


def test_users_see_their_own_and_admins_see_all(machine: Machine) -> None:
    key = submits(machine, "alice", {"name": "j", "command": "echo mine; exec sleep 1000"})
    for words in (("status",), ("jobs",), ("logs", "j"), ("cancel",), ("delete", "--force")):
        done = types(machine, "bob", "torcctl", "-k", key, *words, code=1)
        assert f"no workflow has the key {key}" in done.stderr
    listed = types(machine, "bob", "torcctl", "ls").stdout
    assert "OWNER" not in listed
    assert f"\n{key} " not in listed.replace("  ", "\n")
    everything = types(machine, "ada", "torcctl", "--json", "ls").stdout
    owners = {w["key"]: w["owner"] for w in json.loads(everything)["items"]}
    assert owners[key] == "alice"
    assert "OWNER" in types(machine, "ada", "torcctl", "ls").stdout
    # What a job writes is its user's alone: an admin is not root.
    done = types(machine, "ada", "torcctl", "-k", key, "logs", "j", code=1)
    assert "ermission denied" in done.stderr
    types(machine, "ada", "torcctl", "-k", key, "cancel", "--wait")
    assert types(machine, "alice", "torcctl", "-k", key, "status", "--json").stdout.count(
        "canceled"
    )


def test_only_root_and_admins_stop_the_daemon_and_have_it_read_its_configuration(
    machine: Machine,
) -> None:
    pid = machine.property("torcd.service", "MainPID")
    for words in (("stop",), ("stop", "--jobs", "terminate"), ("reload",)):
        done = types(machine, "bob", "torcctl", "daemon", *words, code=1)
        assert "only root and admins" in done.stderr
    types(machine, "ada", "torcctl", "daemon", "reload")
    assert machine.property("torcd.service", "MainPID") == pid


def test_a_job_of_a_user_cannot_leave_its_cgroup_and_ends_with_all_of_it(machine: Machine) -> None:
    said = runs(
        machine,
        "alice",
        "here=/sys/fs/cgroup$(grep ^0:: /proc/self/cgroup | cut -d: -f3); echo $here;"
        " for to in $here/.. /sys/fs/cgroup; do"
        " (echo $$ > $to/cgroup.procs) 2> /dev/null && echo left; done;"
        " mkdir $here/below 2> /dev/null && echo made; true",
    )
    assert re.fullmatch(r"/sys/fs/cgroup/system.slice/torcd.service/torcd-\w+/\d+\n", said)
    command = "setsid sleep 1000 & (setsid env -i sleep 1000 &); touch began; wait"
    key = submits(machine, "alice", {"name": "j", "command": command})
    machine.shell("until [ -e /home/alice/began ]; do sleep 0.02; done")
    types(machine, "alice", "torcctl", "-k", key, "cancel", "--wait")
    machine.shell("! pgrep -u alice -x sleep")


def test_a_users_job_outlives_a_killed_daemon(machine: Machine) -> None:
    command = "echo $TORC_ATTEMPT_ID >> starts; read x < gate; id -un; exit 5"
    types(machine, "alice", "mkfifo", "gate")
    key = submits(machine, "alice", {"name": "j", "command": command})
    machine.shell("until [ -s /home/alice/starts ]; do sleep 0.02; done")
    machine.shell("kill -KILL $(systemctl show torcd --property=MainPID --value)")
    types(machine, "alice", "bash", "-c", "echo go > gate")
    types(machine, "alice", "torcctl", "-k", key, "wait", code=4)
    (job,) = json.loads(types(machine, "alice", "torcctl", "-k", key, "--json", "jobs").stdout)[
        "items"
    ]
    assert (job["status"], job["return_code"]) == ("failed", 5)
    assert types(machine, "alice", "torcctl", "-k", key, "logs", "j").stdout == "alice\n"
    assert machine.shell("cat /home/alice/starts") == "1"


def test_jobs_of_users_run_within_the_hardening_drop_in(machine: Machine) -> None:
    machine.shell("torcctl daemon stop --jobs terminate")
    with drop_in(machine, hardening()):
        said = runs(machine, "alice", "id -un; touch ~/mine; ! touch /usr/theirs 2> /dev/null")
        assert said == "alice\n"
        assert machine.shell("stat -c %U /home/alice/mine") == "alice"
        key = submits(machine, "alice", {"name": "j", "command": "exec sleep 1000"})
        types(machine, "alice", "torcctl", "-k", key, "cancel", "--wait")
        exposed = exposure(machine)
        assert exposed <= EXPOSURE["hardened"]
    machine.shell("torcctl daemon stop --jobs terminate")


def test_the_service_is_no_more_exposed_than_stated(machine: Machine) -> None:
    assert exposure(machine) <= EXPOSURE["plain"]
    page = (ROOT / "docs" / "security.md").read_text()
    for figure in EXPOSURE.values():
        assert f"{figure}" in page
    verified = machine.types("systemd-analyze", "verify", *UNITS)
    assert (verified.stdout, verified.stderr) == ("", "")


def exposure(machine: Machine) -> float:
    said = machine.types("systemd-analyze", "security", "--no-pager", "torcd.service").stdout
    found = re.search(r"Overall exposure level for torcd.service: ([0-9.]+)", said)
    assert found is not None, said
    return float(found[1])


def hardening() -> str:
    return (ROOT / "configs" / "systemd" / "hardening.conf").read_text()


def test_jobs_of_a_user_who_is_gone_are_not_started(machine: Machine) -> None:
    after = {"name": "b", "command": "id", "depends_on": ["a"]}
    key = submits(
        machine,
        "eve",
        {"name": "a", "command": "exec sleep 1000"},
        {**after, "cancel_on_blocking_job_failure": False},
    )
    machine.shell("userdel --force eve; systemctl restart torcd")
    machine.shell(f"torcctl -k {key} cancel a; ! torcctl -k {key} wait")
    jobs = json.loads(machine.shell(f"torcctl -k {key} --json jobs"))["items"]
    assert [job["status"] for job in jobs] == ["canceled", "failed"]
    assert jobs[1]["reason"] == "start_failed"
    assert "there is no user" in jobs[1]["message"]
