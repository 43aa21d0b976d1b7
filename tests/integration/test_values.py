"""user_data through a real daemon: who may store and fetch what, and what is kept."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.daemon_process import Daemon
from tests.endless_schema import endless_schema
from tests.integration.test_workflows import Gate, over
from torcd import errors
from torcd.client import AsyncClient, Client, make_api
from torcd.model import JobStatus, Reason, WorkflowStatus
from torcd.protocol import manager as m
from torcd.protocol import user_data as u

PAIR = {
    "user_data": [{"name": "passed"}],
    "jobs": [
        {"name": "stores", "output_user_data": ["passed"]},
        {"name": "fetches", "input_user_data": ["passed"]},
    ],
}


def pair(store: str, fetch: str = "true") -> dict[str, object]:
    """One job stores, the other fetches."""
    stores, fetches = PAIR["jobs"]
    return {**PAIR, "jobs": [{**stores, "command": store}, {**fetches, "command": fetch}]}


def tokens_of(daemon: Daemon, directory: Path, spec: dict[str, object]) -> tuple[str, Gate]:
    """Run the first job until it waits, and take its token."""
    gate = Gate(directory, "gate")
    first, *rest = spec["jobs"]  # type: ignore[misc]
    command = f"echo $TORC_TOKEN > token; {gate.command}"
    key = daemon.submit({**spec, "jobs": [{**first, "command": command}, *rest]})
    return key, gate


def test_a_value_goes_from_job_to_job_by_the_command_line(daemon: Daemon) -> None:
    key = daemon.submit(
        pair("""torcctl data put passed '{"a": [1, 2.50]}'""", "torcctl data get passed")
    )
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert daemon.torcctl("-k", key, "logs", "fetches").stdout == '{"a": [1, 2.50]}\n'


def test_a_value_goes_through_torc_output_and_torc_inputs(daemon: Daemon) -> None:
    key = daemon.submit(pair("echo 'passed=[1,2]' >> $TORC_OUTPUT", "cat $TORC_INPUTS"))
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert json.loads(daemon.torcctl("-k", key, "logs", "fetches").stdout) == {"passed": [1, 2]}
    assert list((daemon.state_dir / "attempts").glob("*.output")) == []
    assert list((daemon.state_dir / "attempts").glob("*.inputs.json")) == []


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("passed=[1,", "line 1"),
        ("other=1", "does not declare"),
        ("no equals sign", "NAME=JSON"),
        ("passed=NaN", "line 1"),
    ],
)
def test_a_bad_line_in_torc_output_fails_the_job(daemon: Daemon, line: str, complaint: str) -> None:
    key = daemon.submit(pair(f"echo '{line}' >> $TORC_OUTPUT"))
    over(daemon, key)
    jobs = daemon.jobs(key)
    assert jobs["stores"].reason is Reason.BAD_OUTPUT
    assert complaint in (jobs["stores"].message or "")
    assert jobs["fetches"].status is JobStatus.CANCELED


def test_torc_output_is_taken_whole_or_not_at_all(daemon: Daemon) -> None:
    key = daemon.submit(pair("printf 'passed=1\\nbad\\n' >> $TORC_OUTPUT"))
    over(daemon, key)
    with daemon.client() as client, pytest.raises(errors.NoValue):
        client.fetch("passed", workflow_key=key)


def test_exit_0_without_the_declared_value_is_a_failure(daemon: Daemon) -> None:
    key = daemon.submit(pair("true"))
    over(daemon, key)
    job = daemon.jobs(key)["stores"]
    assert (job.status, job.return_code, job.reason) == (
        JobStatus.FAILED,
        0,
        Reason.MISSING_OUTPUT,
    )
    assert "passed" in (job.message or "")


def test_a_job_may_only_store_what_it_declared(daemon: Daemon, tmp_path: Path) -> None:
    spec = {
        "user_data": [{"name": "mine"}, {"name": "given", "data": 1}, {"name": "foreign"}],
        "jobs": [
            {"name": "job", "output_user_data": ["mine"], "input_user_data": ["given"]},
            {"name": "other", "command": "true", "depends_on": ["job"]},
        ],
    }
    key, gate = tokens_of(daemon, tmp_path, spec)
    gate.open()
    over(daemon, key)
    # The job wrote its token before it waited; now it is void.
    token = (tmp_path / "token").read_text().strip()
    with Client(str(daemon.socket), token=token) as client, pytest.raises(errors.Denied):
        client.store("mine", 1)


def test_a_token_opens_declared_data_while_the_attempt_lasts(
    daemon: Daemon, tmp_path: Path
) -> None:
    spec = {
        "user_data": [{"name": "mine"}, {"name": "given", "data": 1}, {"name": "foreign"}],
        "jobs": [{"name": "job", "output_user_data": ["mine"], "input_user_data": ["given"]}],
    }
    gate, told = Gate(tmp_path, "gate"), Gate(tmp_path, "told")
    (job,) = spec["jobs"]
    command = f"echo $TORC_TOKEN > token; {told.command}; {gate.command}"
    key = daemon.submit({**spec, "jobs": [{**job, "command": command}]})
    told.open()
    token = (tmp_path / "token").read_text().strip()
    with Client(str(daemon.socket), token=token) as client:
        client.store("mine", {"x": 1})
        assert client.fetch("mine") == {"x": 1}
        assert client.fetch("given") == 1
        for name in ("foreign", "nonsense"):
            with pytest.raises(errors.NotDeclared, match="job"):
                client.fetch(name)
        with pytest.raises(errors.NotDeclared):
            client.store("given", 2)
    forged = token[:-1] + ("0" if token[-1] != "0" else "1")
    with Client(str(daemon.socket), token=forged) as client, pytest.raises(errors.Denied):
        client.fetch("mine")
    gate.open()
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    with daemon.client() as client:
        record = client.record("mine", workflow_key=key)
    assert record.stored_by is not None
    assert (record.stored_by.job_name, record.stored_by.attempt_id) == ("job", 1)


def test_every_store_makes_a_revision_and_all_are_kept(daemon: Daemon) -> None:
    key = daemon.submit({"user_data": [{"name": "v", "data": 0}], "jobs": [{"command": "true"}]})
    over(daemon, key)
    with daemon.client() as client:
        for number in range(1, 4):
            client.store("v", number, workflow_key=key)
        history = client.history("v", workflow_key=key)
        assert [bytes(r.data) for r in history] == [b"0", b"1", b"2", b"3"]
        assert [r.revision for r in history] == [1, 2, 3, 4]
        assert client.call(u.Fetch(name="v", workflow_key=key, revision=2)).record.revision == 2
        with pytest.raises(errors.NotFound):
            client.call(u.Fetch(name="v", workflow_key=key, revision=9))


def test_a_stored_null_is_a_value(daemon: Daemon) -> None:
    key = daemon.submit({"user_data": [{"name": "v"}], "jobs": [{"command": "true"}]})
    with daemon.client() as client:
        before = client.list(workflow_key=key)[0]
        client.store("v", None, workflow_key=key)
        after = client.record("v", workflow_key=key)
    assert before.revision == 0
    assert daemon.json("-k", key, "data", "list")["items"][0]["data"] is None
    assert (after.revision, bytes(after.data)) == (1, b"null")


@pytest.mark.parametrize("text", ["NaN", "[1,", '"\\ud800"', "[" * 70 + "]" * 70])
def test_what_is_not_strict_json_is_refused_and_the_daemon_goes_on(
    daemon: Daemon, text: str
) -> None:
    key = daemon.submit({"user_data": [{"name": "v"}], "jobs": [{"command": "true"}]})
    done = daemon.torcctl("-k", key, "data", "put", "v", "-", stdin=text)
    assert done.returncode == 1
    assert done.stderr.startswith("torcctl: ")
    assert daemon.torcctl("-k", key, "data", "put", "v", "1").returncode == 0


def test_20_mib_are_refused_and_16_are_not(daemon: Daemon, tmp_path: Path) -> None:
    key = daemon.submit({"user_data": [{"name": "v"}], "jobs": [{"command": "true"}]})
    large = tmp_path / "large.json"
    large.write_text('"' + "x" * (20 << 20) + '"')
    done = daemon.torcctl("-k", key, "data", "put", "v", f"@{large}")
    assert done.returncode == 1
    assert "16777216" in done.stderr
    fits = '"' + "x" * ((16 << 20) - 2) + '"'
    large.write_text(fits)
    assert daemon.torcctl("-k", key, "data", "put", "v", f"@{large}").returncode == 0
    assert daemon.torcctl("-k", key, "data", "get", "v").stdout == fits + "\n"


def test_fetch_can_wait(daemon: Daemon, tmp_path: Path) -> None:
    gate = Gate(tmp_path, "gate")
    key = daemon.submit(pair(f"{gate.command}; torcctl data put passed 7"))
    with daemon.client() as client:
        with pytest.raises(errors.NoValue):
            client.fetch("passed", workflow_key=key)
        with pytest.raises(errors.TimedOut):
            client.fetch("passed", wait=True, timeout=0.01, workflow_key=key)
        gate.open()
        assert client.fetch("passed", wait=True, timeout=30, workflow_key=key) == 7


def test_a_consumer_may_start_the_moment_the_value_is_stored(
    daemon: Daemon, tmp_path: Path
) -> None:
    hold, reached = Gate(tmp_path, "hold"), Gate(tmp_path, "reached")
    spec = pair(f"torcctl data put passed 1; {hold.command}", reached.command)
    spec["user_data"] = [{"name": "passed", "available": "on_store"}]
    key = daemon.submit(spec, "-j", "2")
    reached.open()  # the consumer is here while the producer still runs
    assert daemon.jobs(key)["stores"].status in (JobStatus.PENDING, JobStatus.RUNNING)  # ADR 0024
    hold.open()
    assert over(daemon, key).status is WorkflowStatus.COMPLETED


def test_watch_tells_what_is_there_and_then_every_store(daemon: Daemon) -> None:
    key = daemon.submit({"user_data": [{"name": "v", "data": 1}], "jobs": [{"command": "true"}]})
    with daemon.client() as watching, daemon.client() as client:
        records = iter(watching.watch("v", workflow_key=key))
        assert bytes(next(records).data) == b"1"
        client.store("v", 2, workflow_key=key)
        assert bytes(next(records).data) == b"2"


def test_a_value_nobody_makes_can_be_waited_for(daemon: Daemon) -> None:
    spec = {
        "user_data": [{"name": "given"}],
        "jobs": [
            {"name": "reads", "command": "torcctl data get given", "input_user_data": ["given"]}
        ],
    }
    with daemon.client() as client, pytest.raises(errors.MissingInputs, match="given"):
        client.submit(spec, directory="/")
    key = daemon.submit(spec, "--wait-for-inputs")
    assert daemon.torcctl("-k", key, "data", "put", "given", '"at last"').returncode == 0
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    assert daemon.torcctl("-k", key, "logs", "reads").stdout == '"at last"\n'


# Schemas

VOLTAGES = {
    "properties": {"rows": {"items": {"type": "object", "properties": {"x": {"type": "number"}}}}}
}
WRONG = '{"rows": [{"x": 1}, {"x": "one"}]}'
SAID = "data.rows[1].x: expected number, not string"


def with_schema(store: str, schema: object = VOLTAGES) -> dict[str, object]:
    return {**pair(store), "user_data": [{"name": "passed", "schema": schema}]}


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_line_that_does_not_fit_fails_the_job_also_after_a_restart(
    daemon: Daemon, tmp_path: Path, is_restarted: bool
) -> None:
    gate = Gate(tmp_path, "gate")
    lines = (
        f"""echo 'passed={{"rows": []}}' >> $TORC_OUTPUT; echo 'passed={WRONG}' >> $TORC_OUTPUT"""
    )
    key = daemon.submit(with_schema(f"{gate.command}; {lines}"))
    if is_restarted:
        daemon.kill()
        daemon.start()
    gate.open()
    over(daemon, key)
    jobs = daemon.jobs(key)
    assert jobs["stores"].reason is Reason.BAD_OUTPUT
    assert jobs["stores"].message == (
        f"TORC_OUTPUT, line 2: the value of 'passed' does not fit its schema: {SAID}"
    )
    assert jobs["fetches"].status is JobStatus.CANCELED
    with daemon.client() as client, pytest.raises(errors.NoValue):
        client.fetch("passed", workflow_key=key)
    assert "data.rows" not in daemon.log.read_text()


def test_what_a_job_stores_has_to_fit_and_then_its_consumers_run(daemon: Daemon) -> None:
    refused = f"torcctl data put passed '{WRONG}' 2> refused && exit 9"
    code = 'from torcd.client import current_job; current_job().store("passed", {"rows": 1})'
    in_python = f"python3 -c '{code}'"
    key = daemon.submit(
        with_schema(
            f"{refused}; {in_python} 2>> refused && exit 8; cat refused; "
            'torcctl data put passed \'{"rows": [{"x": 1.50}]}\'',
            {
                **VOLTAGES,
                "required": ["rows"],
                "properties": {"rows": {"type": "array", **VOLTAGES["properties"]["rows"]}},
            },
        )
    )
    assert over(daemon, key).status is WorkflowStatus.COMPLETED
    told = daemon.torcctl("-k", key, "logs", "stores").stdout
    assert SAID in told
    assert "InvalidValue" in told
    assert "data.rows: expected array, not number" in told
    with daemon.client() as client:
        assert client.record("passed", workflow_key=key).revision == 1


async def test_every_client_of_a_person_is_refused_in_the_same_words(daemon: Daemon) -> None:
    key = daemon.submit(with_schema("sleep 1000"))
    said = f"the value of 'passed' does not fit its schema: {SAID}"
    value = json.loads(WRONG)
    with daemon.client() as client:
        with pytest.raises(errors.InvalidValue) as blocking:
            client.store("passed", value, workflow_key=key)
        assert blocking.value.facts == {"name": "passed", "problem": SAID}
        api = make_api(str(daemon.socket))
        (record,) = api.list_user_data(key).items
        record.data = value
        with pytest.raises(errors.InvalidValue, match="does not fit"):
            api.modify_user_data(key, record.key, record)
        api._client.close()
    async with AsyncClient(str(daemon.socket)) as client:
        with pytest.raises(errors.InvalidValue) as asynchronous:
            await client.store("passed", value, workflow_key=key)
    assert str(blocking.value) == str(asynchronous.value) == said
    done = daemon.torcctl("-k", key, "data", "put", "passed", WRONG)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert daemon.torcctl("-k", key, "data", "get", "passed").returncode == 1


def test_a_schema_that_takes_for_ever_stops_nobody(daemon: Daemon) -> None:
    endless = json.loads(endless_schema())
    key = daemon.submit(with_schema("sleep 1000", endless))
    with daemon.client() as first, daemon.client() as second, ThreadPoolExecutor(1) as pool:
        stored = pool.submit(first.store, "passed", 1, workflow_key=key)
        for _ in range(100):
            second.call(m.GetStatus())
        assert not stored.done()
        with pytest.raises(errors.InvalidValue, match="takes more than"):
            stored.result()
    assert daemon.run(with_schema("echo 'passed={}' >> $TORC_OUTPUT")).returncode == 0
