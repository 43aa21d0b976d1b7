"""`torcctl daemon reload`: the configuration is read again."""

import json

from tests.daemon_process import Daemon


def test_what_may_change_changes_and_the_rest_is_named(daemon: Daemon) -> None:
    daemon.config.write_text(
        'max_parallel_jobs = 3\nretention_days = 2.0\nshell = "sh"\ncpus = 1\n'
    )
    done = daemon.torcctl("daemon", "reload")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == (
        "in force now: max_parallel_jobs, retention_days\n"
        "when torcd is started again: cpus, shell\n"
    )
    again = daemon.json("daemon", "reload")
    assert again == {"changed": [], "needs_restart": ["cpus", "shell"]}


def test_nothing_has_changed(daemon: Daemon) -> None:
    done = daemon.torcctl("daemon", "reload")
    assert (done.returncode, done.stderr) == (0, "nothing has changed\n")


def test_a_wrong_configuration_is_refused_and_the_old_one_stays(daemon: Daemon) -> None:
    daemon.config.write_text('log_level = "error"\nmax_paralel_jobs = 1\n')
    done = daemon.torcctl("daemon", "reload")
    assert (done.returncode, done.stdout) == (1, "")
    assert f'{daemon.config}: there is no key "max_paralel_jobs"' in done.stderr
    assert 'did you mean "max_parallel_jobs"?' in done.stderr
    daemon.submit({"jobs": [{"name": n, "command": "sleep 1000"} for n in "ab"]}, "-j", "2")
    events = [json.loads(line)["event"] for line in daemon.log.read_text().splitlines()]
    assert "configuration refused" in events
    assert "workflow_submitted" in events  # told at "info", still


def test_the_log_level_changes(daemon: Daemon) -> None:
    daemon.config.write_text('log_level = "error"\n')
    assert daemon.torcctl("daemon", "reload").returncode == 0
    before = daemon.log.read_text()
    daemon.submit({"jobs": [{"command": "true"}]})
    daemon.config.write_text('log_level = "info"\n')
    assert daemon.torcctl("daemon", "reload").returncode == 0
    fresh = [json.loads(line) for line in daemon.log.read_text()[len(before) :].splitlines()]
    assert [line["event"] for line in fresh] == ["configuration read"]


def test_variables_that_are_denied_from_now_on_are_not_inherited(daemon: Daemon) -> None:
    daemon.config.write_text('environment_denylist = ["SECRET"]\n')
    assert daemon.torcctl("daemon", "reload").returncode == 0
    daemon.environment["SECRET"] = "x"
    done = daemon.run({"jobs": [{"name": "j", "command": 'test -z "$SECRET"'}]})
    assert done.returncode == 0, done.stderr
