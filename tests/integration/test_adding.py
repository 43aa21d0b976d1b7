"""Jobs that add jobs while they run, with a real daemon."""

import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.daemon_process import Daemon
from tests.integration.test_edits import applied, changes, check_db
from tests.integration.test_running_again import Halt, outlooks, ran, restart
from tests.integration.test_workflows import over
from torcd.client import AsyncClient, Client
from torcd.errors import Denied, InvalidSpec, MissingInputs, TorcError, WrongState
from torcd.model import JobStatus, WorkflowStatus
from torcd.protocol import manager as m

SPLIT = """
import json, os, pathlib, sys
from torcd.client import current_job

pathlib.Path("ran").open("a").write("split\\n")
pathlib.Path("split.txt").write_text("done")  # so that it is seen to have made the same
count = int(pathlib.Path("count").read_text())
added = current_job().add_jobs(
    [
        {
            "name": f"part_{n}",
            "command": f"echo part_{n} >> ran; echo {n} > part_{n}.txt",
            "output_files": [f"part_{n}"],
        }
        for n in range(1, count + 1)
    ],
    files=[{"name": f"part_{n}", "path": f"part_{n}.txt"} for n in range(1, count + 1)],
)
print(json.dumps([[item.name, item.change] for item in added.items] + [added.earlier]))
"""


def collecting(directory: Path, count: int, **more: Any) -> dict[str, Any]:
    """`split` adds as many parts as the file `count` says, and `collect` waits for all of them."""
    (directory / "split.py").write_text(SPLIT)
    (directory / "count").write_text(str(count))
    return {
        "name": "w",
        "jobs": [
            {
                "name": "split",
                "command": f"{sys.executable} split.py",
                "input_files": ["count"],
                "output_files": ["split"],
            },
            {
                "name": "collect",
                "command": "echo collect >> ran; cat part_*.txt > all.txt",
                "depends_on": ["split"],
                "input_file_regexes": ["^part_"],
                "output_files": ["all"],
            },
        ],
        "files": [
            {"name": "count", "path": "count"},
            {"name": "split", "path": "split.txt"},
            {"name": "all", "path": "all.txt"},
        ],
        **more,
    }


def said(daemon: Daemon, key: str) -> Any:
    """What `split` was answered in its newest attempt."""
    with daemon.client() as client:
        newest = client.results(["split"], workflow_key=key)[-1]
    return json.loads(Path(str(newest.stdout)).read_text())


@pytest.fixture
def done(daemon: Daemon, tmp_path: Path) -> tuple[Daemon, Path, str]:
    """`split` has added three jobs, and all is done."""
    key = daemon.submit(collecting(tmp_path, 3))
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert sorted(ran(tmp_path)) == ["collect", "part_1", "part_2", "part_3", "split"]
    return daemon, tmp_path, key


class Adder:
    """A job that runs until it is let go; meanwhile the test speaks as it."""

    def __init__(self, daemon: Daemon, directory: Path, **more: Any) -> None:
        self.daemon = daemon
        self.halt = Halt(directory, "halt")
        spec = {
            "name": "w",
            "jobs": [
                {
                    "name": "adder",
                    "command": "echo $TORC_TOKEN > token; read -r _ < halt || true",
                },
                {"name": "after", "command": "echo after >> ran", "depends_on": ["adder"]},
            ],
            **more,
        }
        self.key = daemon.submit(spec)
        self.halt.wait()
        self.token = (directory / "token").read_text().strip()

    def client(self) -> Client:
        return Client(str(self.daemon.socket), token=self.token, restart_timeout_seconds=20)

    def adds(self, *jobs: dict[str, Any], **more: Any) -> m.AddedJobs:
        with self.client() as client:
            return client.add_jobs(list(jobs), **more)

    def ends(self) -> m.WorkflowInfo:
        self.halt.open()
        return over(self.daemon, self.key)


@pytest.fixture
def adder(daemon: Daemon, tmp_path: Path) -> Adder:
    return Adder(daemon, tmp_path)


def part(n: int, **more: Any) -> dict[str, Any]:
    return {"name": f"part_{n}", "command": f"echo part_{n} >> ran", **more}


def names(daemon: Daemon, key: str) -> set[str]:
    return set(daemon.jobs(key))


# What is added


def test_what_a_job_adds_runs_and_a_collector_waits_for_it(
    done: tuple[Daemon, Path, str],
) -> None:
    daemon, directory, key = done
    assert (directory / "all.txt").read_text() == "1\n2\n3\n"
    assert said(daemon, key) == [[f"part_{n}", "added"] for n in (1, 2, 3)] + [[]]
    with daemon.client() as client:
        added_by = {job.name: job.added_by for job in client.jobs(workflow_key=key)}
        events = client.call(m.ListEvents(workflow_key=key)).items
        explained = client.call(m.Explain(job="part_1", workflow_key=key))
    assert added_by == {
        "split": None, "collect": None, "part_1": "split", "part_2": "split", "part_3": "split",
    }  # fmt: skip
    assert explained.job.added_by == "split"
    [edited] = [event for event in events if event.kind == "workflow_edited"]
    assert edited.job_name == "split"
    assert edited.message == 'by "split": jobs: 3 added, 1 changed; files: 3 added'
    assert "split" in daemon.torcctl("jobs", "-k", key).stdout.splitlines()[-1]
    daemon.stop()
    check_db(daemon)


def test_where_jobs_have_been_short_a_collector_is_not_chosen_before_its_adder_has_ended(
    daemon: Daemon, tmp_path: Path
) -> None:
    short = [{"name": f"short_{n}", "command": "true"} for n in range(20)]
    adder = {"name": "adder", "command": "echo $TORC_TOKEN > token; read -r _ < halt || true"}
    collect = {"name": "collect", "command": "echo collect >> ran"}
    jobs = [
        *short,
        {**adder, "depends_on_regexes": ["^short_"]},
        {**collect, "depends_on": ["adder"], "depends_on_regexes": ["^part_"]},
        {"name": "other", "command": "true", "depends_on": ["adder"]},
    ]
    running = Adder(daemon, tmp_path, jobs=jobs)
    assert daemon.jobs(running.key)["other"].status is JobStatus.PENDING
    running.adds(part(1, depends_on=["adder"]))
    assert running.ends().status is WorkflowStatus.COMPLETED
    assert ran(tmp_path) == ["part_1", "collect"]


def test_jobs_are_added_by_torcctl_with_parameters_and_values(
    daemon: Daemon, tmp_path: Path
) -> None:
    (tmp_path / "parts.yaml").write_text(
        """
jobs:
  - name: part_{i}
    command: "echo r_{i}=$(( {i} * 10 )) >> $TORC_OUTPUT"
    parameters: {i: "1:3"}
    output_user_data: ["r_{i}"]
user_data:
  - {name: "r_{i}", parameters: {i: "1:3"}}
"""
    )
    key = daemon.submit(
        {
            "jobs": [
                {"name": "split", "command": "torcctl add-jobs parts.yaml"},
                {
                    "name": "sum",
                    "command": "cp $TORC_INPUTS sum.json",
                    "depends_on": ["split"],
                    "input_user_data_regexes": ["^r_"],
                },
            ]
        }
    )
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert json.loads((tmp_path / "sum.json").read_text()) == {"r_1": 10, "r_2": 20, "r_3": 30}


def test_what_is_added_may_make_what_a_job_of_the_spec_names(
    daemon: Daemon, tmp_path: Path
) -> None:
    maker = {"name": "maker", "command": "echo 1 > made", "output_files": ["made"]}
    (tmp_path / "more.json").write_text(json.dumps({"jobs": [maker]}))
    with daemon.client() as client:
        spec = {
            "jobs": [
                {"name": "split", "command": "torcctl add-jobs more.json"},
                {"name": "reads", "command": "cat made", "input_files": ["made"]},
            ],
            "files": [{"name": "made", "path": "made"}],
        }
        with pytest.raises(MissingInputs):
            client.submit(spec, directory=str(tmp_path))
    key = daemon.submit(spec, "--wait-for-inputs")
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert set(daemon.jobs(key)) == {"split", "reads", "maker"}


async def test_an_async_program_adds_jobs_too(adder: Adder) -> None:
    async with AsyncClient(str(adder.daemon.socket), token=adder.token) as client:
        reply = await client.add_jobs([part(1), part(2, depends_on=["part_1"])])
    assert [item.name for item in reply.items] == ["part_1", "part_2"]
    assert adder.ends().status is WorkflowStatus.COMPLETED


def test_what_is_added_runs_beside_its_adder(adder: Adder, tmp_path: Path) -> None:
    wait = Halt(tmp_path, "seen")
    adder.adds({"name": "beside", "command": "read -r _ < seen || true"})
    wait.wait()
    # That it has started may be told a moment later.
    assert adder.daemon.jobs(adder.key)["adder"].status in (JobStatus.PENDING, JobStatus.RUNNING)
    wait.open()
    adder.ends()


# All or nothing


def test_all_that_is_wrong_is_told_and_nothing_is_added(adder: Adder) -> None:
    with pytest.raises(InvalidSpec) as error:
        adder.adds(part(1), part(2, depends_on=["nobody"]), {"name": "after", "command": "true"})
    told = error.value.facts["problems"]
    assert {one["path"] for one in told} == {"jobs[1].depends_on[0]", "jobs[2].name"}  # type: ignore[index,union-attr]
    with pytest.raises(MissingInputs, match="nowhere"):
        adder.adds(part(1), part(2, input_files=["f"]), files=[{"name": "f", "path": "/nowhere"}])
    assert names(adder.daemon, adder.key) == {"adder", "after"}
    assert [item.change for item in adder.adds(part(1)).items] == ["added"]
    assert adder.ends().status is WorkflowStatus.COMPLETED


def test_no_more_jobs_are_added_than_the_spec_allows(daemon: Daemon, tmp_path: Path) -> None:
    adder = Adder(daemon, tmp_path, max_dynamic_jobs=2)
    adder.adds(part(1))
    with pytest.raises(InvalidSpec, match="max_dynamic_jobs is 2"):
        adder.adds(part(2), part(3))
    adder.adds(part(2))
    assert names(daemon, adder.key) == {"adder", "after", "part_1", "part_2"}
    adder.ends()


def test_the_same_call_again_changes_nothing_and_other_calls_add_up(adder: Adder) -> None:
    first = adder.adds(part(1))
    again = adder.adds(part(1))
    assert [item.change for item in again.items] == ["unchanged"]
    assert [item.key for item in again.items] == [item.key for item in first.items]
    assert [item.change for item in adder.adds(part(1), part(2)).items] == ["unchanged", "added"]
    adder.ends()
    assert names(adder.daemon, adder.key) == {"adder", "after", "part_1", "part_2"}


def test_persons_are_told_of_apply_and_a_job_that_is_over_adds_nothing(adder: Adder) -> None:
    with adder.daemon.client() as client, pytest.raises(Denied, match="torcctl apply"):
        client.add_jobs([part(1)])
    adder.ends()
    with pytest.raises(Denied, match="its attempt has ended"):
        adder.adds(part(1))
    outside = adder.daemon.torcctl("add-jobs", "-", stdin="{jobs: []}")
    assert outside.returncode == 1
    assert "only a job adds jobs, and this is none" in outside.stderr


def test_a_workflow_that_was_canceled_takes_nothing_more_and_one_that_is_paused_does(
    adder: Adder,
) -> None:
    with adder.daemon.client() as client:
        client.call(m.Pause(workflow_key=adder.key))
        adder.adds(part(1))
        assert adder.daemon.jobs(adder.key)["part_1"].status is JobStatus.READY
        client.cancel(workflow_key=adder.key)
    with pytest.raises((WrongState, Denied)):
        adder.adds(part(2))
    assert over(adder.daemon, adder.key).status is WorkflowStatus.CANCELED
    assert names(adder.daemon, adder.key) == {"adder", "after", "part_1"}


def test_a_job_that_runs_is_not_made_to_wait(adder: Adder, tmp_path: Path) -> None:
    halt = Halt(tmp_path, "other")
    adder.adds({"name": "b", "command": "read -r _ < other || true"})
    halt.wait()
    with pytest.raises(WrongState, match=r'job "b" .*cannot be changed'):
        adder.adds({"name": "b", "command": "false"})
    halt.open()
    adder.ends()


# Again


def test_equal_jobs_of_a_rerun_do_not_run_again(done: tuple[Daemon, Path, str]) -> None:
    daemon, directory, key = done
    assert not restart(daemon, key).restarted
    reply = restart(daemon, key, jobs=["split"])
    assert outlooks(reply)["part_1"] == "may_run"
    assert ran(directory) == ["split"]
    assert said(daemon, key) == [[f"part_{n}", "unchanged"] for n in (1, 2, 3)] + [[]]
    assert not restart(daemon, key).restarted


def test_a_rerun_with_fewer_jobs_removes_the_others(done: tuple[Daemon, Path, str]) -> None:
    daemon, directory, key = done
    (directory / "count").write_text("2")
    restart(daemon, key)
    assert sorted(ran(directory)) == ["collect", "split"]  # it reads one file less
    assert names(daemon, key) == {"split", "collect", "part_1", "part_2"}
    assert said(daemon, key)[-1] == ["part_3"]
    with daemon.client() as client:
        files = {file.name for file in client.call(m.ListFiles(workflow_key=key)).items}
        results = client.results(all_runs=True, workflow_key=key)
    assert files == {"count", "split", "all", "part_1", "part_2"}
    assert "part_3" in {result.job_name for result in results}
    assert not restart(daemon, key).restarted
    (directory / "count").write_text("3")
    restart(daemon, key)
    assert sorted(ran(directory)) == ["collect", "part_3", "split"]
    daemon.stop()
    check_db(daemon)


def test_an_adder_that_is_tried_again_adds_the_rest(daemon: Daemon, tmp_path: Path) -> None:
    for n, members in {1: [1, 2], 2: [2, 3]}.items():
        jobs = [part(one, depends_on=["last"]) for one in members]
        (tmp_path / f"{n}.json").write_text(json.dumps({"jobs": jobs}))
    halt = Halt(tmp_path, "halt")
    command = "torcctl add-jobs $TORC_ATTEMPT_ID.json; test $TORC_ATTEMPT_ID = 2"
    key = daemon.submit(
        {
            "jobs": [
                {"name": "split", "command": command, "failure_handler": "h"},
                {"name": "last", "command": "read -r _ < halt || true"},
            ],
            "failure_handlers": [{"name": "h", "rules": [{"exit_codes": [1]}]}],
        }
    )
    halt.wait()
    with daemon.client() as client:
        for reply in client.stream(m.FollowWorkflow(workflow_key=key)):
            if reply.workflow.jobs["completed"]:
                break
    halt.open()
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert set(daemon.jobs(key)) == {"split", "last", "part_2", "part_3"}
    assert sorted(ran(tmp_path)) == ["part_2", "part_3"]


def test_an_edit_keeps_what_was_added_and_takes_it_away_with_its_adder(
    done: tuple[Daemon, Path, str],
) -> None:
    daemon, directory, key = done
    spec = collecting(directory, 3)
    assert not applied(daemon, key, spec).applied
    edited = {**spec, "description": "other"}
    assert changes(applied(daemon, key, edited)) == [("changed", "workflow", "w")]
    assert {"part_1", "part_2", "part_3"} < names(daemon, key)
    without = {**spec, "jobs": [{"name": "last", "command": "true"}]}
    gone = {name for how, kind, name in changes(applied(daemon, key, without)) if how == "removed"}
    assert gone >= {"split", "part_1", "part_2", "part_3"}
    over(daemon, key)
    assert names(daemon, key) == {"last"}


def test_a_regex_that_finds_nothing_yet_is_taken_in_with_the_spec(
    done: tuple[Daemon, Path, str],
) -> None:
    daemon, directory, key = done
    spec = collecting(directory, 3)
    spec["jobs"][1]["depends_on_regexes"] = ["^special$"]
    assert not applied(daemon, key, spec).changes
    script = directory / "split.py"
    script.write_text(script.read_text().replace('f"part_{n}",\n            "command"',
                                                 '"special" if n == 3 else f"part_{n}",\n'
                                                 '            "command"'))  # fmt: skip
    restart(daemon, key, jobs=["split"])
    assert "special" in daemon.jobs(key)["collect"].depends_on


# Killed


def test_what_was_acknowledged_is_there_when_the_daemon_was_killed(
    adder: Adder, tmp_path: Path
) -> None:
    daemon = adder.daemon
    first = adder.adds(part(1, depends_on=["adder"]))
    daemon.kill()
    daemon.start()
    again = adder.adds(part(1, depends_on=["adder"]))
    assert [item.change for item in again.items] == ["unchanged"]
    assert [item.key for item in again.items] == [item.key for item in first.items]
    assert adder.ends().status is WorkflowStatus.COMPLETED
    assert sorted(ran(tmp_path)) == ["after", "part_1"]
    daemon.stop()
    check_db(daemon)


def test_a_client_asks_again_when_the_daemon_is_killed_before_it_answers(
    adder: Adder, tmp_path: Path
) -> None:
    daemon = adder.daemon
    daemon.kill()
    with adder.client() as client:
        starter = threading.Thread(target=daemon.start)
        starter.start()
        reply = client.add_jobs([part(1)])
        starter.join()
    assert [item.change for item in reply.items] == ["added"]
    adder.ends()
    assert sorted(ran(tmp_path)) == ["after", "part_1"]


def test_an_adder_that_is_killed_in_the_middle_leaves_whole_calls(
    adder: Adder, tmp_path: Path
) -> None:
    adder.adds(part(1), part(2))
    with adder.daemon.client() as client:
        client.cancel(["adder"], workflow_key=adder.key)
    with pytest.raises(TorcError):
        adder.adds(part(3))
    adder.halt.open()
    assert over(adder.daemon, adder.key).status is WorkflowStatus.FAILED
    jobs = adder.daemon.jobs(adder.key)
    assert {name: job.status.value for name, job in jobs.items()} == {
        "adder": "canceled", "after": "canceled", "part_1": "completed", "part_2": "completed",
    }  # fmt: skip


def test_jobs_are_removed_also_when_the_daemon_was_down_as_their_adder_ended(
    daemon: Daemon, tmp_path: Path
) -> None:
    adder = Adder(daemon, tmp_path)
    adder.adds(part(1), part(2))
    assert adder.ends().status is WorkflowStatus.COMPLETED
    ran(tmp_path)
    with daemon.client() as client:
        client.call(m.Restart(workflow_key=adder.key, jobs=["adder"]))
    adder.halt.wait()
    adder.token = (tmp_path / "token").read_text().strip()
    adder.adds(part(2))
    daemon.kill()
    adder.halt.open()
    daemon.start()
    over(daemon, adder.key)
    assert names(daemon, adder.key) == {"adder", "after", "part_2"}
    daemon.stop()
    check_db(daemon)
