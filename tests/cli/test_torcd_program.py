"""`torcd run|check-config|migrate|check-db|backup|restore` as somebody types them."""

import json
import sqlite3
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.user_world import PATIENCE_SECONDS, User, a_user
from torcd.config import Config
from torcd.machine import usable_cpus


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    with a_user(tmp_path) as somebody:
        yield somebody


def torcd(user: User, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["torcd", *words],
        env=user.environment,
        cwd=user.directory,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def test_check_config_prints_every_key_as_it_is_in_force(user: User) -> None:
    done = torcd(user, "check-config")
    assert (done.returncode, done.stderr) == (0, "")
    told = tomllib.loads(done.stdout)
    assert set(told) == set(Config.__struct_fields__)
    assert told["socket"] == str(user.socket)
    assert told["state_dir"] == str(user.home / "state" / "torcd")
    assert told["max_parallel_jobs"] == usable_cpus()


def test_what_check_config_prints_is_a_configuration_that_says_the_same(user: User) -> None:
    (user.directory / "mine.toml").write_text('shell = "sh"\nmax_parallel_jobs = 7\n')
    first = torcd(user, "check-config", "--config", "mine.toml")
    assert 'shell = "sh"\n' in first.stdout
    assert "max_parallel_jobs = 7\n" in first.stdout
    (user.directory / "whole.toml").write_text(first.stdout)
    second = torcd(user, "--config", "whole.toml", "check-config")
    assert second.stdout == first.stdout


@pytest.mark.parametrize("command", ["run", "check-config", "migrate", "check-db"])
def test_a_wrong_configuration_is_refused_in_one_line(command: str, user: User) -> None:
    (user.directory / "mine.toml").write_text('log_levle = "info"\n')
    done = torcd(user, command, "--config", "mine.toml")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        'torcd: mine.toml: there is no key "log_levle"; did you mean "log_level"?\n'
    )
    assert not (user.home / "state").exists()


def test_migrate_makes_the_database_and_says_so_when_there_is_nothing_to_do(user: User) -> None:
    database = user.directory / "s" / "torcd.db"
    first = torcd(user, "migrate", "--state-dir", "s")
    assert (first.returncode, first.stderr) == (0, "")
    assert "(it was at 0)" in first.stdout
    assert database.exists()
    second = torcd(user, "migrate", "--state-dir", "s")
    assert second.returncode == 0
    assert second.stdout.startswith(f"{database} is up to date (version ")


@pytest.mark.parametrize("command", ["run", "migrate", "restore torcd.db"])
def test_a_database_in_use_is_left_alone(command: str, user: User) -> None:
    user.torcctl("daemon", "start")
    done = torcd(user, *command.split(), "--socket", "other.sock")
    assert (done.returncode, done.stdout) == (1, "")
    status = user.asks("daemon", "status")
    # Its socket may be gone (a runtime directory goes with its session): so the pid is told.
    pid = status["pid"]
    assert f"another torcd is using it (pid {pid}); stop that one first" in done.stderr
    assert f"or kill {pid} if it answers no more" in done.stderr
    assert status["socket"] == str(user.socket)


def test_check_db_prints_what_is_wrong_as_a_table_and_as_json(user: User) -> None:
    torcd(user, "migrate", "--state-dir", "s")
    database = user.directory / "s" / "torcd.db"
    sound = torcd(user, "check-db", "--state-dir", "s")
    assert (sound.returncode, sound.stderr) == (0, "")
    assert sound.stdout.startswith(f"{database} is sound (version ")
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute(
        "INSERT INTO event (first_number, workflow_key, happenings) VALUES (7, 1, '[')"
    )
    connection.close()

    table = torcd(user, "check-db", "--state-dir", "s")
    assert table.returncode == 1
    assert table.stdout.splitlines()[0].split() == ["CHECK", "SUBJECT", "PROBLEM"]
    assert table.stdout.splitlines()[1].startswith("events  event 7  cannot be read: ")
    assert table.stderr == f"torcd: {database} has problems: 1\n"

    told = json.loads(torcd(user, "check-db", "--json", "s/torcd.db").stdout)
    assert told["path"] == "s/torcd.db"
    assert [(item["check"], item["subject"]) for item in told["items"]] == [("events", "event 7")]


@pytest.mark.parametrize(
    "words", ["check-db", "check-db nothing.db", "backup b.db", "restore b.db"]
)
def test_without_a_database_it_is_said_in_one_line(words: str, user: User) -> None:
    done = torcd(user, *words.split())
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("torcd: there is no database ")
    assert done.stderr.count("\n") == 1
    assert list(user.directory.iterdir()) == []


def test_a_backup_into_a_directory_that_is_not_there_is_refused_by_name(user: User) -> None:
    torcd(user, "migrate")
    done = torcd(user, "backup", "nowhere/b.db")
    assert done.returncode == 1
    assert done.stderr == (
        "torcd: cannot write the backup nowhere/b.db: No such file or directory; name a file "
        "elsewhere, or make room\n"
    )


@pytest.mark.parametrize("behind", [">/dev/full", "| true"])
def test_output_that_can_go_nowhere_is_an_error_and_no_traceback(user: User, behind: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"torcd check-config {behind}"],
        env=user.environment,
        cwd=user.directory,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    full = "torcd: cannot write the output: No space left on device\n"
    assert done.stderr == (full if "full" in behind else "")
    assert done.returncode == (1 if "full" in behind else 0)
