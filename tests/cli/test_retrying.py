"""retry; and disable and enable in a workflow that is over."""

from pathlib import Path

from tests.daemon_process import Daemon


def submitted(daemon: Daemon) -> str:
    spec = {
        "jobs": [
            {"name": "a", "command": 'echo "a$TORC_ATTEMPT_ID $MARK" >> ran; test -e mended'},
            {"name": "b", "command": "echo b >> ran", "depends_on": ["a"]},
        ],
        "env": {"MARK": "set"},
    }
    key = daemon.submit(spec)
    assert daemon.torcctl("-k", key, "wait").returncode == 4
    return key


def test_retry_goes_on_in_the_same_run_also_after_a_restart_of_the_daemon(
    daemon: Daemon, tmp_path: Path
) -> None:
    key = submitted(daemon)
    daemon.kill()
    daemon.start()
    done = daemon.torcctl("-k", key, "retry", "a")
    assert (done.returncode, done.stderr) == (0, f"workflow {key}: retrying a, b\n")
    assert daemon.torcctl("-k", key, "wait").returncode == 4
    (tmp_path / "mended").touch()
    assert daemon.json("-k", key, "retry", "a")["jobs"] == ["a", "b"]
    assert daemon.torcctl("-k", key, "wait").returncode == 0
    assert (tmp_path / "ran").read_text() == "a1 set\na2 set\na3 set\nb\n"
    results = daemon.json("-k", key, "results")["items"]
    ends = [(r["job_name"], r["run_id"], r["attempt_id"], r["status"]) for r in results]
    assert ends == [
        ("a", 1, 1, "failed"),
        ("a", 1, 2, "failed"),
        ("a", 1, 3, "completed"),
        ("b", 1, 1, "completed"),
    ]
    assert "nothing is out of date" in daemon.torcctl("-k", key, "restart").stderr


def test_what_cannot_be_retried_is_refused_with_a_reason(daemon: Daemon, tmp_path: Path) -> None:
    key = submitted(daemon)
    done = daemon.torcctl("-k", key, "retry", "b")
    assert done.returncode == 1
    assert '"b" cannot run: it needs "a", which failed' in done.stderr
    assert daemon.torcctl("-k", key, "retry").returncode == 2
    assert daemon.torcctl("-k", key, "retry", "nobody").returncode == 1


def test_a_disabled_job_in_the_middle_is_left_out_of_the_next_run(
    daemon: Daemon, tmp_path: Path
) -> None:
    key = submitted(daemon)
    assert daemon.torcctl("-k", key, "disable", "a").returncode == 0
    assert daemon.torcctl("-k", key, "restart").returncode == 0
    assert daemon.torcctl("-k", key, "wait").returncode == 0
    assert (tmp_path / "ran").read_text() == "a1 set\nb\n"
    (tmp_path / "mended").touch()
    assert daemon.torcctl("-k", key, "enable", "a").returncode == 0
    assert daemon.torcctl("-k", key, "wait").returncode == 0
    assert (tmp_path / "ran").read_text() == "a1 set\nb\na1 set\n"
