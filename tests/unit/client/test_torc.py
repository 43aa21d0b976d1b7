"""torc's calls, written as torc's guides and its own programs wrote them."""

import os
from typing import Any

import pytest

from tests.unit.client.scripted_daemon import Call, Peer, ScriptedDaemon, record
from torcd import errors
from torcd.client import UserDataModel, make_api, torc_settings
from torcd.client.torc import Api


class Workflow:
    """Answers for a workflow whose job 2 stores `output_data1` and consumes `input_data1`."""

    def __init__(self) -> None:
        self.records = {
            "11": record("output_data1", key="11", revision=0),
            "12": record("input_data1", key="12", data={"val": 5}, is_ephemeral=True),
            "13": record("nobodys", key="13", revision=0),
            "14": record("late", key="14", revision=0),
        }
        self.jobs = [
            {"input_user_data": ["input_data1", "nobodys"], "output_user_data": ["output_data1"]},
            {"input_user_data": ["late", "output_data1"], "output_user_data": []},
            {"input_user_data": [], "output_user_data": ["late"], "status": "completed"},
        ]

    def __call__(self, call: Call, peer: Peer) -> None:
        answer = getattr(self, call.method.lower())
        answer(call.parameters, peer)

    def list(self, asked: dict[str, Any], peer: Peer) -> None:
        keys = {"stores": ["11"], "consumes": ["12"], None: list(self.records)}
        peer.reply(items=[self.records[key] for key in keys[asked.get("relation")]])

    def store(self, asked: dict[str, Any], peer: Peer) -> None:
        for key, found in self.records.items():
            if asked.get("key") == key or asked.get("name") == found["name"]:
                found["data"] = asked["data"]
                found["revision"] += 1
                return peer.reply(record=found)
        return peer.error("io.torcd.UserData.NotFound", message="no such value")

    def fetch(self, asked: dict[str, Any], peer: Peer) -> None:
        found = self.records.get(asked["key"])
        if found is None:
            return peer.error("io.torcd.UserData.NotFound", message="no such value")
        if "data" not in found:
            return peer.error("io.torcd.UserData.NoValue", message="not yet")
        return peer.reply(record=found)

    def listjobs(self, asked: dict[str, Any], peer: Peer) -> None:
        job = {
            "key": "2",
            "name": "j",
            "status": "running",
            "run_id": 1,
            "command": "true",
            "stdio": "separate",
            "cwd": "/",
            "priority": 0,
        }
        job |= dict.fromkeys(["stopping", "supports_termination"], False)
        job |= dict.fromkeys(["return_code", "reason", "message", "attempt_id"])
        job |= dict.fromkeys(["started_at", "ended_at"])
        job |= {name: [] for name in ("depends_on", "input_files", "output_files")}
        job |= {"cancel_on_blocking_job_failure": True}
        peer.reply(items=[job | differs for differs in self.jobs])


@pytest.fixture
def workflow(daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch) -> Workflow:
    monkeypatch.setenv("TORC_SOCKET", daemon.path)
    daemon.script = workflow = Workflow()
    return workflow


@pytest.fixture
def in_a_job(daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORC_TOKEN", "secret")
    monkeypatch.setenv("TORC_WORKFLOW_KEY", "1")
    monkeypatch.setenv("TORC_JOB_KEY", "2")


@pytest.fixture
def api(workflow: Workflow) -> Api:
    return make_api(torc_settings.database_url)


@pytest.mark.usefixtures("in_a_job")
def test_the_scripts_of_torcs_guide_store_and_read(
    daemon: ScriptedDaemon, workflow: Workflow
) -> None:
    api = make_api(torc_settings.database_url)
    workflow_key = os.environ["TORC_WORKFLOW_KEY"]
    job_key = os.environ["TORC_JOB_KEY"]

    result = api.list_job_user_data_stores(workflow_key, job_key)
    output_data1 = result.items[0]
    assert output_data1.data is None
    output_data1.data = {"result": 1.2}
    api.add_user_data(workflow_key, output_data1.key, output_data1)
    assert workflow.records["11"]["data"] == {"result": 1.2}

    result = api.list_job_user_data_consumes(workflow_key, job_key)
    assert (result.items[0].name, result.items[0].data) == ("input_data1", {"val": 5})

    assert [call.parameters for call in daemon.calls] == [
        {"relation": "stores", "job_key": "2", "token": "secret"},
        {"data": {"result": 1.2}, "key": "11", "token": "secret"},
        {"relation": "consumes", "job_key": "2", "token": "secret"},
    ]


def test_outside_a_job_the_calls_name_the_workflow(daemon: ScriptedDaemon, api: Api) -> None:
    api.list_job_user_data_stores("1", "2")
    assert daemon.calls[0].parameters == {"relation": "stores", "job_key": "2", "workflow_key": "1"}


@pytest.mark.usefixtures("in_a_job")
def test_inside_a_job_another_workflow_is_asked_as_a_person(
    daemon: ScriptedDaemon, workflow: Workflow
) -> None:
    make_api(daemon.path).list_user_data("8")
    assert daemon.calls[0].parameters == {"workflow_key": "8"}


def test_every_form_of_storing_stores(workflow: Workflow, api: Api) -> None:
    ud = api.get_user_data("1", "12")
    ud.data = {"val": 6}
    assert api.modify_user_data("1", "12", ud).rev == "2"
    assert api.add_user_data("1", ud).rev == "3"
    assert api.add_user_data("1", UserDataModel(name="output_data1", data=[1])).key == "11"
    assert api.add_user_data(workflow="1", body=UserDataModel(name="nobodys", data=0)).key == "13"
    assert workflow.records["12"]["data"] == {"val": 6}
    by_name = UserDataModel(name="output_data1", data="by name")
    assert api.add_job_user_data("1", "2", by_name, _request_timeout=120).data == "by name"
    assert api.add_job_user_data("1", "2", UserDataModel(key="11", data="by key")).data == "by key"
    with pytest.raises(errors.NotDeclared, match="input_data1"):
        api.add_job_user_data("1", "2", UserDataModel(name="input_data1", data=1))
    with pytest.raises(errors.NotFound):
        api.add_user_data("1", UserDataModel(name="undeclared", data=1))


def test_a_record_without_a_value_is_read_as_none(api: Api) -> None:
    ud = api.get_user_data("1", "11")
    assert (ud.name, ud.data, ud.rev) == ("output_data1", None, "0")
    with pytest.raises(errors.NotFound):
        api.get_user_data("1", "99")


def test_a_record_is_a_dict_with_torcs_names(api: Api) -> None:
    assert api.get_user_data("1", "12").to_dict() == {
        "name": "input_data1",
        "data": {"val": 5},
        "is_ephemeral": True,
        "_key": "12",
        "_id": "12",
        "_rev": "1",
    }


def test_lists_are_filtered_sorted_and_read_page_by_page(api: Api) -> None:
    def names(**asked: Any) -> list[str | None]:
        return [ud.name for ud in api.list_user_data("1", **asked).items]

    assert names(name="late") == ["late"]
    assert names(key="12", is_ephemeral=True) == ["input_data1"]
    assert names(is_ephemeral=False) == ["output_data1", "nobodys", "late"]
    assert names(sort_by="name") == ["input_data1", "late", "nobodys", "output_data1"]
    assert names(sort_by="_key", reverse_sort=True)[0] == "late"
    seen, skip, has_more = [], 0, True
    while has_more:
        page = api.list_user_data("1", skip=skip, limit=3)
        seen += page.items
        skip += page.count
        has_more = page.has_more
    assert (len(seen), page.total_count) == (4, 4)


def test_missing_is_what_is_needed_and_nobody_will_make(api: Api) -> None:
    assert api.list_missing_user_data("1").user_data == ["13", "14"]


def test_a_url_is_refused_with_what_to_write() -> None:
    with pytest.raises(errors.ConfigError, match=r"make_api\(torc_settings\.database_url\)"):
        make_api("http://localhost:8529/_db/workflows/torc-service")
