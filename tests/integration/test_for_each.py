"""A job for each element of a value, with a real daemon."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.daemon_process import Daemon
from tests.integration.test_edits import applied, changes, check_db
from tests.integration.test_running_again import Halt, outlooks, ran, restart
from tests.integration.test_workflows import over
from torcd import errors
from torcd.model import JobStatus, Reason, WorkflowStatus
from torcd.protocol import manager as m


def cities(*, available: str = "on_completion", **fit: Any) -> dict[str, Any]:
    """`list` stores what is in `in.json`; for each element of it there is a `fit`, which writes a
    file; `end` reads them all."""
    return {
        "jobs": [
            {
                "name": "list",
                "command": "echo list >> ran; torcctl data put cities @in.json > /dev/null",
                "input_files": ["in"],
                "output_user_data": ["cities"],
            },
            {
                "name": "fit",
                "for_each": "cities",
                "command": ["sh", "-c", 'echo "$0" >> ran; echo "$1" > "$2"', "fit_{index}",
                            "{item}", "part.{index}"],
                "output_files": ["part_{index}"],
                **fit,
            },
            {
                "name": "end",
                "command": "echo end >> ran; cat part.* > end.txt 2> /dev/null || true",
                "input_file_regexes": ["^part_"],
            },
        ],
        "files": [
            {"name": "in", "path": "in.json"},
            {"name": "part_{index}", "path": "part.{index}"},
        ],
        "user_data": [{"name": "cities", "available": available}],
    }  # fmt: skip


def run(daemon: Daemon, directory: Path, value: object, spec: dict[str, Any] | None = None) -> str:
    write(directory, value)
    key = daemon.submit(cities() if spec is None else spec)
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    return key


def write(directory: Path, value: object) -> None:
    """What `list` will store. What is left of elements is taken away."""
    (directory / "in.json").write_text(json.dumps(value))


def test_a_list_of_three_is_three_jobs_and_the_consumer_waits_for_all(
    daemon: Daemon, tmp_path: Path
) -> None:
    key = run(daemon, tmp_path, ["a", "b c", "$d"])
    assert list(daemon.jobs(key)) == ["list", "end", "fit_0", "fit_1", "fit_2"]
    assert (tmp_path / "end.txt").read_text() == "a\nb c\n$d\n"
    order = ran(tmp_path)
    assert (order[0], sorted(order[1:4]), order[4]) == ("list", ["fit_0", "fit_1", "fit_2"], "end")
    with daemon.client() as client:
        info = client.call(m.GetWorkflow(workflow_key=key)).workflow
    assert info.jobs["completed"] == 5
    assert sum(info.jobs.values()) == 5
    daemon.stop()
    check_db(daemon)


def test_before_there_is_a_value_it_is_one_job_that_says_what_it_waits_for(
    daemon: Daemon, tmp_path: Path
) -> None:
    gate = Halt(tmp_path, "gate")
    write(tmp_path, [1, 2])
    spec = cities()
    spec["jobs"][0]["command"] = f"cat < {gate.path}; " + spec["jobs"][0]["command"]
    key = daemon.submit(spec)
    gate.wait()
    jobs = daemon.jobs(key)
    assert list(jobs) == ["list", "fit", "end"]
    assert (jobs["fit"].status, jobs["fit"].for_each) == (JobStatus.BLOCKED, "cities")
    said = daemon.json("-k", key, "explain", "fit")
    assert said["summary"] == (
        'it becomes one job for each element of "cities", which has no value yet'
    )
    gate.open()
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    jobs = daemon.jobs(key)
    assert list(jobs) == ["list", "end", "fit_0", "fit_1"]
    assert (jobs["fit_1"].element_of, jobs["fit_1"].element_index) == ("fit", 1)
    said = daemon.json("-k", key, "explain", "fit")
    assert said["summary"] == 'it is 2 jobs, one for each element of "cities"'


def test_an_empty_list_completes_at_once(daemon: Daemon, tmp_path: Path) -> None:
    key = run(daemon, tmp_path, [])
    jobs = daemon.jobs(key)
    assert {name: job.status.value for name, job in jobs.items()} == {
        "list": "completed", "fit": "completed", "end": "completed",
    }  # fmt: skip
    assert ran(tmp_path) == ["list", "end"]
    daemon.stop()
    check_db(daemon)
    daemon.start()
    assert not restart(daemon, key).restarted
    write(tmp_path, ["x"])
    restart(daemon, key)
    assert ran(tmp_path) == ["list", "fit_0", "end"]
    write(tmp_path, [])
    restart(daemon, key)
    assert ran(tmp_path) == ["list", "end"]
    assert list(daemon.jobs(key)) == ["list", "fit", "end"]


def test_the_same_list_runs_nothing_again(daemon: Daemon, tmp_path: Path) -> None:
    key = run(daemon, tmp_path, ["a", "b"])
    ran(tmp_path)
    assert not restart(daemon, key).restarted
    (tmp_path / "in.json").write_text('[ "a", "b" ]')
    reply = restart(daemon, key)
    assert outlooks(reply) == {
        "list": "will_run", "end": "may_run", "fit_0": "may_run", "fit_1": "may_run",
    }  # fmt: skip
    assert ran(tmp_path) == ["list"]
    with daemon.client() as client:
        client.store("cities", ["a", "b"], workflow_key=key)
    assert not restart(daemon, key).restarted


def test_a_list_that_grew_runs_what_is_new(daemon: Daemon, tmp_path: Path) -> None:
    key = run(daemon, tmp_path, ["a", "b"])
    ran(tmp_path)
    write(tmp_path, ["a", "b", "c"])
    restart(daemon, key)
    assert ran(tmp_path) == ["list", "fit_2", "end"]
    assert list(daemon.jobs(key)) == ["list", "end", "fit_0", "fit_1", "fit_2"]
    assert not restart(daemon, key).restarted


def test_a_list_that_shrank_has_no_more_than_its_elements(daemon: Daemon, tmp_path: Path) -> None:
    key = run(daemon, tmp_path, ["a", "b", "c"])
    ran(tmp_path)
    write(tmp_path, ["a", "b"])
    restart(daemon, key)
    assert ran(tmp_path) == ["list", "end"]
    assert list(daemon.jobs(key)) == ["list", "end", "fit_0", "fit_1"]
    with daemon.client() as client:
        results = client.results(all_runs=True, workflow_key=key)
    assert ("fit_2", 1) in {(one.job_name, one.run_id) for one in results}
    assert not restart(daemon, key).restarted
    daemon.stop()
    check_db(daemon)
    daemon.start()
    assert not restart(daemon, key).restarted
    write(tmp_path, ["a", "b", "c"])
    restart(daemon, key)
    assert ran(tmp_path) == ["list", "fit_2", "end"]  # a new one of the old name


def test_another_element_runs_and_its_equals_do_not(daemon: Daemon, tmp_path: Path) -> None:
    key = run(daemon, tmp_path, ["a", "b", "c"])
    ran(tmp_path)
    write(tmp_path, ["a", "x", "c"])
    restart(daemon, key)
    assert ran(tmp_path) == ["list", "fit_1", "end"]
    assert (tmp_path / "end.txt").read_text() == "a\nx\nc\n"


def test_a_value_that_a_person_has_stored_is_unfolded_by_a_restart(
    daemon: Daemon, tmp_path: Path
) -> None:
    spec = cities()
    spec["jobs"] = spec["jobs"][1:]
    spec["user_data"][0]["data"] = ["a"]
    key = daemon.submit(spec)
    over(daemon, key)
    assert ran(tmp_path) == ["fit_0", "end"]
    with daemon.client() as client:
        client.store("cities", ["a", "b"], workflow_key=key)
    assert not applied(daemon, key, spec).changes  # what a restart is for
    assert {one.name: one.reason for one in restart(daemon, key, dry_run=True).items} == {
        "fit_0": 'user_data "cities" may have other elements',
        "end": '"fit_0", which comes before it, may run again',
    }
    restart(daemon, key)
    assert ran(tmp_path) == ["fit_1", "end"]


def test_an_initial_value_is_unfolded_when_it_is_submitted(daemon: Daemon, tmp_path: Path) -> None:
    spec = cities()
    spec["jobs"] = spec["jobs"][1:]
    spec["user_data"][0]["data"] = ["a", "b"]
    with daemon.client() as client:
        reply = client.submit(spec, directory=str(tmp_path), max_parallel_jobs=1)
    assert reply.jobs == 3
    assert over(daemon, reply.key).status is WorkflowStatus.COMPLETED
    assert not applied(daemon, reply.key, spec).changes
    spec["user_data"][0]["data"] = ["a", "b", "c"]
    edit = applied(daemon, reply.key, spec)
    assert changes(edit) == [
        ("changed", "job", "end"), ("added", "job", "fit_2"), ("added", "file", "part_2"),
        ("changed", "user_data", "cities"),
    ]  # fmt: skip
    over(daemon, reply.key)
    assert ran(tmp_path)[3:] == ["fit_2", "end"]
    assert not applied(daemon, reply.key, spec).changes


def test_an_object_is_one_job_for_each_key(daemon: Daemon, tmp_path: Path) -> None:
    command = 'echo "$KEY $INDEX $ITEM $N" >> got'
    spec = {
        "jobs": [
            {
                "name": "one",
                "for_each": "things",
                "command": command,
                "env": {
                    "KEY": "{key}", "INDEX": "{index:02d}", "ITEM": "{item}", "N": "{item.n:.2f}",
                },
            },
            {"name": "after", "command": "sort got", "depends_on": ["one"]},
        ],
        "user_data": [{"name": "things", "data": {"b c": {"n": 1}, "a": {"n": 2.5, "$x": "'"}}}],
    }  # fmt: skip
    key = daemon.submit(spec)
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert list(daemon.jobs(key)) == ["one_b c", "one_a", "after"]
    assert daemon.jobs(key)["one_a"].element_key == "a"
    assert sorted((tmp_path / "got").read_text().splitlines()) == [
        'a 01 {"n":2.5,"$x":"\'"} 2.50',
        'b c 00 {"n":1} 1.00',
    ]
    assert daemon.torcctl("-k", key, "logs", "after").stdout == (
        'a 01 {"n":2.5,"$x":"\'"} 2.50\nb c 00 {"n":1} 1.00\n'
    )


@pytest.mark.parametrize(
    ("value", "command", "problem"),
    [
        (5, "true", "is the number 5: for_each needs a list or an object"),
        ("abc", "true", 'is the text "abc": for_each needs a list or an object'),
        ([{"a": 1}, {}], "echo {item.a}", 'element 1 of "cities" has no field "a"'),
        ([["x"], "x"], "echo {item.0}", 'element 1 of "cities" has no field "0"'),
        ([1, "x"], "echo {item:03d}", '"{item:03d}" is no format for "x", of element 1'),
        (["a"], "echo {key}", '"{key}" is for the keys of an object, and user_data "cities" is a'),
    ],
)
def test_a_value_that_does_not_do_fails_it_and_nothing_is_half_done(
    daemon: Daemon, tmp_path: Path, value: object, command: str, problem: str
) -> None:
    write(tmp_path, value)
    key = daemon.submit(cities(command=command))
    assert over(daemon, key).status is WorkflowStatus.FAILED
    jobs = daemon.jobs(key)
    assert {name: job.status.value for name, job in jobs.items()} == {
        "list": "completed", "fit": "failed", "end": "canceled",
    }  # fmt: skip
    assert jobs["fit"].reason is Reason.START_FAILED
    message = jobs["fit"].message or ""
    assert message.startswith('no jobs can be made for the elements of "cities": ')
    assert problem in message
    assert ran(tmp_path) == ["list"]
    with daemon.client() as client:
        client.store("cities", [], workflow_key=key)
        client.call(m.Retry(workflow_key=key, jobs=["fit"]))
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    daemon.stop()
    check_db(daemon)


def test_two_elements_of_one_name_are_an_error(daemon: Daemon, tmp_path: Path) -> None:
    write(tmp_path, ["a", "a"])
    key = daemon.submit(cities(name="fit_{item}"))
    assert over(daemon, key).status is WorkflowStatus.FAILED
    message = daemon.jobs(key)["fit_{item}"].message
    assert (
        'the elements make the name "fit_a" more than once (put {index} into the name)' in message
    )


def test_files_that_are_there_are_read_one_for_each(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("first")
    (tmp_path / "b").write_text("second")
    (tmp_path / "list.json").write_text('["a", "b"]')
    spec = {
        "jobs": [
            {
                "name": "choose",
                "command": "torcctl data put list @list.json",
                "output_user_data": ["list"],
            },
            {
                "name": "read_{item}",
                "command": "cat ${files.input.in_{item}}",
                "for_each": "list",
                "input_files": ["in_{item}"],
            },
        ],
        "files": [{"name": "in_{item}", "path": "{item}"}],
        "user_data": [{"name": "list"}],
    }
    key = daemon.submit(spec)
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    with daemon.client() as client:
        outputs = {r.job_name: r.stdout for r in client.results(workflow_key=key)}
    assert Path(str(outputs["read_b"])).read_text() == "second"
    (tmp_path / "list.json").write_text('["a", "c"]')
    key = daemon.submit(spec)
    over(daemon, key)
    with daemon.client() as client:
        assert [r.job_name for r in client.results(workflow_key=key)] == ["choose"]
        failed = client.jobs(["read_{item}"], workflow_key=key)[0]
    assert f'file "in_c" ({tmp_path}/c), which job "read_c" needs' in str(failed.message)


def test_a_list_that_is_added_again_as_another_one_counts_in_the_same_run(
    daemon: Daemon, tmp_path: Path
) -> None:
    def add(*elements: str) -> None:
        job = {"name": "x_{item}", "for_each": "list", "command": "echo x_{item} >> ran"}
        values = [{"name": "list", "data": elements}]
        (tmp_path / "added.json").write_text(json.dumps({"jobs": [job], "user_data": values}))

    add("a")
    adder = {
        "name": "adder",
        "command": "torcctl add-jobs added.json; echo > done",
        "input_files": ["added"],
        "output_files": ["done"],
    }
    files = [{"name": "added", "path": "added.json"}, {"name": "done", "path": "done"}]
    key = daemon.submit({"jobs": [adder], "files": files})
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert ran(tmp_path) == ["x_a"]
    add("a", "b")
    assert outlooks(restart(daemon, key, dry_run=True))["x_a"] == "may_run"
    restart(daemon, key)
    assert ran(tmp_path) == ["x_b"]
    assert not restart(daemon, key).restarted


def test_names_by_item_keep_what_an_element_is_when_others_go(
    daemon: Daemon, tmp_path: Path
) -> None:
    spec = cities(
        name="fit_{item}",
        command=["sh", "-c", 'echo "$0" >> ran; echo "$0" > "$1"', "{item}", "part.{item}"],
        output_files=["part_{item}"],
    )
    spec["files"][1] = {"name": "part_{item}", "path": "part.{item}"}
    key = run(daemon, tmp_path, ["a", "b", "c"], spec)
    ran(tmp_path)
    write(tmp_path, ["c", "b"])
    restart(daemon, key)
    assert ran(tmp_path) == ["list", "end"]
    assert sorted(daemon.jobs(key)) == ["end", "fit_b", "fit_c", "list"]


def test_elements_of_two_jobs_go_in_pairs(daemon: Daemon, tmp_path: Path) -> None:
    spec = cities()
    spec["jobs"].insert(
        2,
        {
            "name": "check",
            "for_each": "cities",
            "command": "echo check_{index} >> ran; cat ${files.input.part_{index}} > seen.{index}",
        },
    )
    key = run(daemon, tmp_path, ["a", "b"], spec)
    assert (tmp_path / "seen.1").read_text() == "b\n"
    assert daemon.jobs(key)["check_1"].input_files == ["part_1"]
    ran(tmp_path)
    write(tmp_path, ["a", "x"])
    restart(daemon, key)
    assert sorted(ran(tmp_path)) == ["check_1", "end", "fit_1", "list"]


def test_parameters_come_first(daemon: Daemon, tmp_path: Path) -> None:
    spec = {
        "jobs": [
            {
                "name": "{model}",
                "for_each": "list",
                "parameters": {"model": ["m", "n"]},
                "command": "echo {model} {item} {index} >> got",
            }
        ],
        "user_data": [{"name": "list", "data": [7, 8]}],
    }
    key = daemon.submit(spec)
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert list(daemon.jobs(key)) == ["m_0", "m_1", "n_0", "n_1"]
    assert sorted((tmp_path / "got").read_text().splitlines()) == [
        "m 7 0", "m 8 1", "n 7 0", "n 8 1",
    ]  # fmt: skip


def test_on_store_they_run_while_who_stored_it_still_does(daemon: Daemon, tmp_path: Path) -> None:
    gate, last = Halt(tmp_path, "gate"), Halt(tmp_path, "last")
    write(tmp_path, ["a", "b"])
    spec = cities(available="on_store")
    spec["jobs"][0]["command"] += f"; cat < {gate.path}"
    spec["jobs"][2]["command"] = f"cat < {last.path}"
    key = daemon.submit(spec, "-j", "4")
    gate.wait()
    last.wait()
    jobs = daemon.jobs(key)
    assert [jobs[name].status for name in ("fit_0", "fit_1")] == [JobStatus.COMPLETED] * 2
    assert jobs["list"].status is JobStatus.RUNNING
    last.open()
    gate.open()
    assert over(daemon, key).status is WorkflowStatus.COMPLETED


def test_the_failure_of_an_element_is_that_of_any_job(daemon: Daemon, tmp_path: Path) -> None:
    write(tmp_path, ["true", "false", "true"])
    key = daemon.submit(
        cities(
            command="echo {index} >> ran; touch part.{index}; {item}",
            failure_handler="again",
            resource_requirements="small",
        )
        | {
            "failure_handlers": [
                {"name": "again", "rules": [{"match_all_exit_codes": True, "max_retries": 1}]}
            ],
            "resource_requirements": [{"name": "small", "num_cpus": 1}],
        }
    )
    assert over(daemon, key).status is WorkflowStatus.FAILED
    jobs = daemon.jobs(key)
    assert [jobs[f"fit_{n}"].status.value for n in range(3)] == ["completed", "failed", "completed"]
    assert jobs["fit_1"].attempt_id == 2
    assert (jobs["end"].status.value, jobs["end"].message) == (
        "canceled", 'canceled because "fit_1" failed, which makes file "part_1" '
        f"({tmp_path}/part.1)",
    )  # fmt: skip


@pytest.mark.parametrize("available", ["on_completion", "on_store"])
def test_a_daemon_killed_in_between_makes_them_once(
    daemon: Daemon, tmp_path: Path, available: str
) -> None:
    """With `on_store` it is killed while it makes them, or when it has just done so."""
    gate = Halt(tmp_path, "gate")
    write(tmp_path, [1, 2, 3])
    spec = cities(available=available)
    spec["jobs"][0]["command"] += f"; cat < {gate.path}"
    key = daemon.submit(spec)
    gate.wait()
    daemon.kill()
    gate.open()
    daemon.start()
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    order = ran(tmp_path)
    assert (order[0], sorted(order[1:4]), order[4:]) == (
        "list", ["fit_0", "fit_1", "fit_2"], ["end"],
    )  # fmt: skip
    daemon.kill()
    daemon.start()
    assert list(daemon.jobs(key)) == ["list", "end", "fit_0", "fit_1", "fit_2"]
    assert not restart(daemon, key).restarted


def test_a_name_stands_for_its_elements(daemon: Daemon, tmp_path: Path) -> None:
    key = run(daemon, tmp_path, ["a", "b"])
    ran(tmp_path)
    reply = restart(daemon, key, jobs=["fit"])
    assert outlooks(reply) == {
        "list": "up_to_date", "end": "may_run", "fit_0": "will_run", "fit_1": "will_run",
    }  # fmt: skip
    assert sorted(ran(tmp_path)) == ["fit_0", "fit_1"]
    with daemon.client() as client:
        client.call(m.Disable(workflow_key=key, jobs=["fit"]))
    assert [daemon.jobs(key)[f"fit_{n}"].status.value for n in (0, 1)] == ["disabled"] * 2


def test_wrong_specs_are_refused(daemon: Daemon) -> None:
    spec = cities(for_each="citys")
    with (
        daemon.client() as client,
        pytest.raises(errors.InvalidSpec, match=r'unknown user_data "citys" \(did you mean'),
    ):
        client.submit(spec, directory="/")


def test_elements_add_jobs_which_go_with_them(daemon: Daemon, tmp_path: Path) -> None:
    added = '{"jobs": [{"name": "more_{index}", "command": "echo more_{index} >> ran"}]}'
    command = (
        f"echo fit_{{index}} >> ran; touch part.{{index}}; echo '{added}' | torcctl add-jobs -"
    )
    key = run(daemon, tmp_path, ["a", "b"], cities(command=command))
    assert sorted(ran(tmp_path)) == ["end", "fit_0", "fit_1", "list", "more_0", "more_1"]
    assert daemon.jobs(key)["more_1"].added_by == "fit_1"
    assert not applied(daemon, key, cities(command=command)).changes
    write(tmp_path, ["a"])
    restart(daemon, key)
    assert ran(tmp_path) == ["list", "end"]
    assert sorted(daemon.jobs(key)) == ["end", "fit_0", "list", "more_0"]
    write(tmp_path, ["a", "c"])
    restart(daemon, key)
    assert sorted(ran(tmp_path)) == ["end", "fit_1", "list", "more_1"]
    daemon.stop()
    check_db(daemon)


def test_a_job_that_is_added_may_say_for_each(daemon: Daemon, tmp_path: Path) -> None:
    write(tmp_path, ["a", "b"])
    added = {
        "jobs": [
            {"name": "also", "for_each": "cities", "command": "echo also_{item} >> ran"},
            {"name": "last", "command": "echo last >> ran", "depends_on": ["also"]},
        ]
    }
    (tmp_path / "added.json").write_text(json.dumps(added))
    spec = cities()
    spec["jobs"].append(
        {
            "name": "adder",
            "command": "torcctl add-jobs added.json",
            "depends_on": ["end"],
        }
    )
    key = daemon.submit(spec)
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    order = ran(tmp_path)
    assert (sorted(order[4:6]), order[6]) == (["also_a", "also_b"], "last")
    with daemon.client() as client:
        added_by = {job.name: job.added_by for job in client.jobs(workflow_key=key)}
    assert added_by["also_0"] == added_by["last"] == "adder"
    assert not restart(daemon, key).restarted
    write(tmp_path, ["b", "a"])
    restart(daemon, key)
    assert sorted(ran(tmp_path)) == [
        "also_a", "also_b", "end", "fit_0", "fit_1", "last", "list",
    ]  # fmt: skip
