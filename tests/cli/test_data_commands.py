"""data and collections, from outside and from within jobs."""

import json
from typing import Any

from tests.cli.started import started
from tests.daemon_process import Daemon

PASSING: dict[str, Any] = {
    "user_data": [{"name": "a"}, {"name": "b"}, {"name": "c", "data": {"n": 1.0}}],
    "jobs": [
        {
            "name": "store",
            "command": """torcctl data put a '{"x": 1.50}' && echo 'b=[1, 2]' >> $TORC_OUTPUT""",
            "output_user_data": ["a", "b"],
        },
        {
            "name": "fetch",
            "command": "torcctl data get a && torcctl data get -r b && torcctl data get c",
            "input_user_data": ["a", "b", "c"],
        },
        {
            "name": "join",
            "command": "torcctl -k $TORC_WORKFLOW_KEY -F json collections join "
            "job-consumes-data -f key=$TORC_JOB_KEY",
            "input_user_data": ["a"],
        },
        {
            "name": "forbidden",
            "command": "torcctl data get c; echo $?; torcctl data put c 2; echo $?",
            "depends_on": ["store"],
        },
    ],
}


def test_values_pass_between_jobs_as_they_were_written(daemon: Daemon) -> None:
    done = daemon.run(PASSING)
    assert done.returncode == 0, done.stderr
    assert daemon.torcctl("logs", "fetch").stdout == '{"x": 1.50}\n[1, 2]\n{"n":1.0}\n'


def test_a_job_may_touch_only_what_it_declared(daemon: Daemon) -> None:
    daemon.run(PASSING)
    assert daemon.torcctl("logs", "forbidden").stdout == "1\n1\n"
    assert "'c'" in daemon.torcctl("logs", "forbidden", "--stderr").stdout


def test_torcs_join_works_within_a_job(daemon: Daemon) -> None:
    daemon.run(PASSING)
    (item,) = json.loads(daemon.torcctl("logs", "join").stdout)["items"]
    assert item["from"]["name"] == "join"
    assert item["to"]["name"] == "a"
    assert item["to"]["data"] == {"x": 1.5}
    assert item["to"]["is_ephemeral"] is False
    assert item["to"]["_key"] == daemon.json("data", "get", "a", "--record")["key"]


def test_a_person_may_read_and_store_everything(daemon: Daemon) -> None:
    daemon.run(PASSING)
    assert daemon.torcctl("data", "get", "c").stdout == '{"n":1.0}\n'
    done = daemon.torcctl("data", "put", "c", "-", stdin=' "text" \n')
    assert (done.returncode, done.stderr) == (0, "stored c, revision 2\n")
    assert daemon.torcctl("data", "get", "-r", "c").stdout == "text\n"
    assert daemon.torcctl("data", "get", "c", "--revision", "1").stdout == '{"n":1.0}\n'
    history = daemon.json("data", "history", "c")["items"]
    assert [(item["revision"], item["data"]) for item in history] == [(1, {"n": 1.0}), (2, "text")]
    assert [item["name"] for item in daemon.json("user-data", "list")["items"]] == ["a", "b", "c"]
    record = daemon.json("data", "get", "a", "--record")
    assert record["stored_by"]["job_name"] == "store"
    assert daemon.torcctl("data", "get", record["key"]).stdout == '{"x": 1.50}\n'


def test_validate_and_submit_name_the_line_of_data_that_does_not_fit(daemon: Daemon) -> None:
    spec = daemon.directory / "w.yaml"
    spec.write_text(
        "jobs: [{command: 'true'}]\n"
        "user_data:\n"
        "  - name: limits\n"
        "    schema: {additionalProperties: {type: [integer, 'null']}}\n"
        "    data:\n"
        "      low: 1\n"
        "      high: many\n"
    )
    said = (
        "w.yaml:7:7: user_data[0].data.high: the data does not fit its schema: "
        "expected null or integer, not string\n"
    )
    validated = daemon.torcctl("validate", "w.yaml")
    assert (validated.returncode, validated.stdout) == (1, said)
    submitted = daemon.torcctl("submit", "w.yaml")
    assert submitted.returncode == 1
    assert said in submitted.stderr
    spec.write_text(spec.read_text().replace("many", "null"))
    assert daemon.torcctl("validate", "w.yaml").returncode == 0


def test_what_cannot_be_stored_is_told_and_the_daemon_goes_on(daemon: Daemon) -> None:
    daemon.run(PASSING)
    big = '"' + "x" * (20 * 1024 * 1024) + '"'
    for words, stdin, told in (
        (("data", "put", "c", "NaN"), "", "NaN"),
        (("data", "put", "c", "{'a': 1}"), "", "not JSON"),
        (("data", "put", "c", '"\\ud800"'), "", "surrogate"),
        (("data", "put", "c", "[" * 65 + "]" * 65), "", "deep"),
        (("data", "put", "c", "-"), big, "bytes"),
        (("data", "put", "nothing", "1"), "", "nothing"),
    ):
        done = daemon.torcctl(*words, stdin=stdin)
        assert done.returncode == 1, words
        assert told in done.stderr
    assert daemon.torcctl("data", "get", "c").stdout == '{"n":1.0}\n'


def test_get_waits_for_a_value_or_gives_up(daemon: Daemon) -> None:
    spec = {
        "user_data": [{"name": "v"}],
        "jobs": [{"name": "j", "command": "true", "input_user_data": ["v"]}],
    }
    key = daemon.submit(spec, "--wait-for-inputs")
    done = daemon.torcctl("data", "get", "v")
    assert done.returncode == 1
    assert "no value" in done.stderr
    done = daemon.torcctl("data", "get", "v", "--timeout", "0.1")
    assert done.returncode == 124
    with started(daemon, "data", "watch", "v", "--json") as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["revision"] == 0
        with started(daemon, "data", "get", "v", "--wait") as getting:
            assert daemon.torcctl("data", "put", "v", "1e3").returncode == 0
            assert getting.communicate()[0] == "1e3\n"
        assert json.loads(watching.stdout.readline())["revision"] == 1
    assert daemon.torcctl("-k", key, "wait").returncode == 0
