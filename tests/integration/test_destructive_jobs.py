"""Jobs that break what they can reach: they fail or are mended, and others go on."""

import pytest

from tests.daemon_process import Daemon

HERE = '"$(dirname "$(readlink "/proc/$$/fd/1")")"'
"""Of a job: the directory of its logs."""


def test_a_job_that_removes_its_log_directory_takes_no_others_with_it(daemon: Daemon) -> None:
    spec = {
        "jobs": [
            {"name": "vandal", "command": f"rm -rf {HERE}"},
            {"name": "next", "command": "echo still here", "depends_on": ["vandal"]},
        ]
    }
    assert daemon.run(spec).returncode == 0
    assert daemon.torcctl("logs", "next").stdout == "still here\n"


def test_what_jobs_put_in_the_place_of_their_output_leaves_no_descriptors(daemon: Daemon) -> None:
    spec = {"jobs": [{"command": "mkdir $TORC_OUTPUT"} for _ in range(5)]}
    assert daemon.run(spec).returncode == 4
    assert {job.reason.value for job in daemon.jobs("1").values() if job.reason} == {"bad_output"}
    left = [p.name for p in (daemon.state_dir / "attempts").iterdir() if "output" in p.name]
    assert left == []


@pytest.mark.parametrize("what", ["mkfifo {}", "ln -s /etc/passwd {}", "mkdir {}"])
def test_what_a_job_put_in_the_place_of_its_log_is_not_read(daemon: Daemon, what: str) -> None:
    vandal = f"log=$(readlink /proc/$$/fd/2); rm $log; {what.format('$log')}; exit 1"
    done = daemon.run({"jobs": [{"name": "vandal", "command": vandal}]})
    assert done.returncode == 4
    assert "root:" not in done.stderr
    read = daemon.torcctl("logs", "vandal", "--stderr")
    assert read.returncode == 1
    assert read.stdout == ""
    assert "the job has put something else in its place" in read.stderr
