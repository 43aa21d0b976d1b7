"""torcd as a service of a real systemd: installed, killed, restarted, reloaded, removed."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.machine import PATIENCE_SECONDS, Machine, booted

pytestmark = pytest.mark.xdist_group("system")

SNIPPETS = ("/etc/pam.d/torcd", "/etc/sysusers.d/torcd.conf", "/etc/tmpfiles.d/torcd.conf")
UNITS = ("/etc/systemd/system/torcd.socket", "/etc/systemd/system/torcd.service")

SPEC = {
    "jobs": [
        {
            "name": "j",
            "command": "echo $TORC_ATTEMPT_ID >> starts; read x < gate; torcctl data put v 7",
            "output_user_data": ["v"],
        }
    ],
    "user_data": [{"name": "v"}],
}
"""Goes on when somebody opens the gate, and then stores; says how often it was started."""


@pytest.fixture(scope="module")
def installed() -> Iterator[Machine]:
    with booted() as machine:
        done = machine.types("torcctl", "daemon", "install")
        assert done.stderr.splitlines()[:5] == [
            *(f"wrote {path}" for path in reversed(SNIPPETS)),
            *(f"wrote {path}" for path in UNITS),
        ]
        assert done.stderr.splitlines()[-1] == "ran systemctl restart torcd.service"
        yield machine


def status(machine: Machine) -> dict[str, object]:
    """Through the socket: where no daemon runs, it is that of the next one."""
    found = json.loads(machine.types("torcctl", "daemon", "status", "--json").stdout)
    assert isinstance(found, dict)
    return found


def submit(machine: Machine) -> str:
    """A workflow whose job runs, and waits at its gate."""
    machine.shell("rm -f gate starts; mkfifo gate")
    key = machine.types("torcctl", "submit", "-", stdin=json.dumps(SPEC)).stdout.strip()
    machine.shell("until [ -s starts ]; do sleep 0.02; done")  # no inotify in a shell
    return key


def ends_well(machine: Machine, key: str) -> None:
    machine.shell("echo go > gate")
    machine.types("torcctl", "-k", key, "wait")
    assert machine.types("torcctl", "-k", key, "data", "get", "v").stdout == "7\n"
    assert machine.shell("cat starts") == "1", "it was started more than once"


@contextlib.contextmanager
def drop_in(machine: Machine, text: str) -> Iterator[None]:
    path = "/etc/systemd/system/torcd.service.d/test.conf"
    try:
        machine.types("bash", "-euc", f"mkdir -p $(dirname {path}); cat > {path}", stdin=text)
        machine.shell("systemctl daemon-reload; systemctl restart torcd")
        yield
    finally:
        machine.shell(f"rm {path}; systemctl daemon-reload; systemctl restart torcd")


def test_it_serves_as_systemd_says(installed: Machine) -> None:
    told = status(installed)
    assert str(told["pid"]) == installed.property("torcd.service", "MainPID")
    assert told["state_dir"] == "/var/lib/torcd"
    assert told["socket"] == "/run/torcd/torcd.sock"
    assert str(told["cgroups"]).startswith("/sys/fs/cgroup/system.slice/torcd.service/")
    assert installed.property("torcd.service", "StatusText") == "idle"
    assert installed.shell("systemctl is-enabled torcd.service torcd.socket") == "enabled\nenabled"
    assert installed.shell("stat -c '%U:%G %a' /run/torcd/torcd.sock") == "root:torcd 660"
    assert installed.shell("stat -c '%U:%G %a' /var/lib/torcd") == "root:root 711"


def test_installing_again_changes_nothing_and_restarts(installed: Machine) -> None:
    key = submit(installed)
    before = status(installed)["pid"]
    done = installed.types("torcctl", "daemon", "install", "--system")
    assert "wrote" not in done.stderr
    assert status(installed)["pid"] != before
    ends_well(installed, key)


def test_systemd_finds_nothing_wrong_with_what_is_installed(installed: Machine) -> None:
    done = installed.types("systemd-analyze", "verify", *UNITS)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_killed_daemon_is_started_again_and_jobs_run_on(installed: Machine) -> None:
    key = submit(installed)
    before = status(installed)["pid"]
    installed.shell(f"kill -KILL {before}")
    assert status(installed)["pid"] != before
    assert installed.property("torcd.service", "ActiveState") == "active"
    ends_well(installed, key)


def test_who_waits_goes_on_waiting_when_it_is_restarted(installed: Machine) -> None:
    key = submit(installed)
    before = status(installed)["pid"]
    with contextlib.ExitStack() as stack:
        waiting = {
            words: stack.enter_context(installed.popen("torcctl", "-k", key, *words.split()))
            for words in ("wait", "data get v --wait", "logs j -f", "data watch v --json")
        }
        # It would go on for ever, and have systemd start each daemon that is stopped.
        stack.callback(installed.shell, "pkill -f 'torcctl .* data watch'")
        watched = waiting["data watch v --json"].stdout
        assert watched is not None
        assert json.loads(watched.readline())["revision"] == 0
        installed.shell("systemctl restart torcd")
        assert status(installed)["pid"] != before
        ends_well(installed, key)
        assert json.loads(watched.readline())["revision"] == 1
        for words in ("wait", "data get v --wait", "logs j -f"):
            out, said = waiting[words].communicate(timeout=PATIENCE_SECONDS)
            assert waiting[words].returncode == 0, f"{words}\n{said}"
            assert out == {"data get v --wait": "7\n"}.get(words, ""), words


def test_a_daemon_that_makes_no_progress_is_replaced(installed: Machine) -> None:
    with drop_in(installed, "[Service]\nWatchdogSec=3\n"):
        key = submit(installed)
        before = status(installed)["pid"]
        installed.shell(f"kill -STOP {before}")
        assert status(installed)["pid"] != before
        assert installed.property("torcd.service", "NRestarts") != "0"
        ends_well(installed, key)


def test_a_job_that_stores_after_a_stop_has_the_daemon_started(installed: Machine) -> None:
    key = submit(installed)
    installed.shell("systemctl stop torcd.service")
    assert installed.property("torcd.service", "ActiveState") == "inactive"
    ends_well(installed, key)
    assert installed.property("torcd.service", "ActiveState") == "active"


def test_a_reload_takes_over_what_it_can_and_refuses_what_is_wrong(installed: Machine) -> None:
    before = status(installed)["pid"]
    installed.shell("mkdir -p /etc/torcd; echo 'max_parallel_jobs = 2' > /etc/torcd/torcd.toml")
    installed.types("systemctl", "reload", "torcd")
    installed.shell("echo 'max_parallel_jobs = 0' > /etc/torcd/torcd.toml")
    installed.types("systemctl", "reload", "torcd", code=1)
    said = installed.shell("journalctl -b -u torcd -o cat")
    assert "in force now: max_parallel_jobs" in said
    assert "torcctl: /etc/torcd/torcd.toml: Expected `int` >= 1" in said
    assert installed.property("torcd.service", "SubState") == "running"
    assert status(installed)["pid"] == before
    installed.shell("rm /etc/torcd/torcd.toml; systemctl reload torcd")


def test_the_journal_finds_a_job_and_how_bad_it_was(installed: Machine) -> None:
    spec = json.dumps({"name": "w", "jobs": [{"name": "fit", "command": "exit 3"}]})
    key = installed.types("torcctl", "submit", "-", stdin=spec).stdout.strip()
    installed.types("torcctl", "-k", key, "wait", code=4)
    installed.shell("journalctl --sync")
    words = ("journalctl", "-u", "torcd", "-o", "json", "-p", "warning", f"WORKFLOW={key}")
    lines = installed.types(*words, "JOB=fit").stdout.splitlines()
    assert len(lines) == 1
    found = json.loads(lines[0])
    assert (found["ATTEMPT"], found["STATUS"], found["PRIORITY"]) == ("1", "failed", "4")
    assert found["MESSAGE"].startswith(f"job_failed workflow={key} job=fit attempt=1 status=failed")
    assert found["RETURN_CODE"] == "3"


def test_it_works_within_the_hardening_drop_in_and_so_do_its_jobs(installed: Machine) -> None:
    strict = (Path(__file__).parents[2] / "configs/systemd/hardening.conf").read_text()
    # A warden that lives has the rights of the daemon that started it; without jobs it ends.
    installed.shell("torcctl daemon stop --jobs terminate")
    with drop_in(installed, strict):
        spec = {"jobs": [{"name": "j", "command": "touch /root/mine; ! touch /usr/theirs"}]}
        installed.types("torcctl", "run", "-", stdin=json.dumps(spec))
        assert installed.shell("ls /root/mine") == "/root/mine"
        assert str(status(installed)["cgroups"]).startswith("/sys/fs/cgroup/system.slice/")


def test_a_user_has_a_service_of_their_own(installed: Machine) -> None:
    installed.types("systemctl", "start", "user@0.service")
    mine = {"XDG_RUNTIME_DIR": "/run/user/0"}

    def types(*words: str) -> "subprocess.CompletedProcess[str]":
        return installed.types(*words, environment=mine)

    said = types("torcctl", "daemon", "install", "--user").stderr
    assert "wrote /root/.config/systemd/user/torcd.service" in said
    assert "loginctl enable-linger root" in said
    told = json.loads(types("torcctl", "daemon", "status", "--json").stdout)
    assert told["socket"] == "/run/user/0/torcd/torcd.sock"
    assert told["state_dir"] == "/root/.local/state/torcd"
    shown = types("systemctl", "--user", "show", "torcd", "--property=MainPID", "--value").stdout
    assert int(shown) == told["pid"]
    assert types("systemctl", "--user", "reload", "torcd").stderr == ""
    said = types("torcctl", "daemon", "uninstall", "--user").stderr
    assert "removed /root/.config/systemd/user/torcd.service" in said
    assert "the workflows stay in /root/.local/state/torcd" in said
    installed.shell("test ! -e /root/.config/systemd/user/torcd.service")


def test_a_daemon_that_systemd_did_not_start_is_not_pushed_aside(installed: Machine) -> None:
    mine = {"XDG_RUNTIME_DIR": "/run/user/0"}
    installed.types("systemctl", "start", "user@0.service")
    installed.types("torcctl", "daemon", "start", environment=mine)
    done = installed.types("torcctl", "daemon", "install", "--user", code=1, environment=mine)
    assert "a daemon that systemd did not start answers at /run/user/0/torcd" in done.stderr
    installed.shell("test ! -e /root/.config/systemd/user/torcd.service")
    installed.types("torcctl", "daemon", "stop", environment=mine)


def test_uninstalling_leaves_jobs_and_data(installed: Machine) -> None:
    """The last: it is not there any more."""
    submit(installed)
    job = installed.shell("pgrep -f 'read x < gate'")
    done = installed.types("torcctl", "daemon", "uninstall")
    for path in (*UNITS, *SNIPPETS):
        assert f"removed {path}" in done.stderr
        installed.shell(f"test ! -e {path}")
    assert installed.types("systemctl", "is-active", "torcd.service", code=3).stdout == "inactive\n"
    assert installed.shell("pgrep -f 'read x < gate'") == job
    installed.shell("test -s /var/lib/torcd/torcd.db")
    again = installed.types("torcctl", "daemon", "uninstall")
    assert again.stderr == "torcd is not installed\n"
    assert installed.types("torcctl", "daemon", "status", code=3).stdout == ""
