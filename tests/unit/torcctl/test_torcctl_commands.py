"""Each command: what it asks the daemon, and what it prints."""

import json
from typing import Any

import msgspec
import pytest

from tests.unit.torcctl.canned_daemon import (
    HANG_UP,
    SILENCE,
    STATES,
    CannedDaemon,
    daemon_status,
    failed_action,
    job,
    record,
    result,
    workflow,
)
from tests.unit.torcctl.conftest import Run
from torcctl.render.progress import summary
from torcd import errors
from torcd.protocol import manager as m
from torcd.protocol import user_data as u


def event(number: int, **changes: Any) -> m.EventReply:
    fields = {"at": "2026-01-31T12:00:00.000001Z", "kind": "job_changed", "workflow_key": "7"}
    return m.EventReply(m.Event(number=number, **(fields | changes)))


def test_status_is_the_whole_workflow(daemon: CannedDaemon, torcctl: Run) -> None:
    daemon.answer(m.GetWorkflow, m.WorkflowReply(workflow(jobs={"completed": 2, "running": 1})))
    shown = torcctl("-k", "7", "status", "--json").json()
    assert shown["key"] == "7"
    assert set(shown["jobs"]) == set(STATES)
    assert shown["ended_at"] is None
    assert daemon.asked(m.GetWorkflow) == [{"workflow_key": "7"}]
    text = torcctl("status").out
    assert "jobs       2 of 3 done, 1 running\n" in text
    assert "ended" not in text


@pytest.mark.parametrize(
    "words",
    [
        ("-k", "3", "-F", "json", "status"),
        ("status", "-k", "3", "-F", "json"),
        ("-k", "9", "--format=table", "status", "-k3", "--json"),
        ("-k", "9", "-F", "json", "status", "--key", "3"),
    ],
)
def test_global_options_may_stand_anywhere_and_the_last_counts(
    words: tuple[str, ...], daemon: CannedDaemon, torcctl: Run
) -> None:
    daemon.answer(m.GetWorkflow, m.WorkflowReply(workflow()))
    assert torcctl(*words).json()["name"] == "diamond"
    assert daemon.asked(m.GetWorkflow) == [{"workflow_key": "3"}]


def test_the_socket_may_be_named_anywhere(
    daemon: CannedDaemon, torcctl: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORC_SOCKET", "/nowhere")
    daemon.answer(m.ListWorkflows, m.WorkflowsReply([]))
    assert torcctl("ls").code == 3
    assert torcctl("ls", "--socket", daemon.path).code == 0
    assert torcctl("--socket", daemon.path, "ls").code == 0


def test_the_workflow_of_the_environment_is_meant_without_k(
    daemon: CannedDaemon, torcctl: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.answer(m.ListFiles, m.FilesReply([]))
    monkeypatch.setenv("TORC_WORKFLOW_KEY", "12")
    torcctl("files")
    assert daemon.asked(m.ListFiles) == [{"workflow_key": "12"}]


def test_an_empty_list_says_so_on_standard_error(daemon: CannedDaemon, torcctl: Run) -> None:
    daemon.answer(m.ListWorkflows, m.WorkflowsReply([]))
    outcome = torcctl("ls")
    assert (outcome.code, outcome.out) == (0, "")
    assert "no workflow yet" in outcome.err
    assert torcctl("ls", "--json").json() == {"items": []}
    assert torcctl("ls", "-q").err == ""


def test_a_table_without_a_terminal_is_aligned_and_whole(
    daemon: CannedDaemon, torcctl: Run
) -> None:
    items = [
        job("a", key="8", return_code=0),
        job("b" * 200, "failed", key="10", return_code=1, reason="exit", message="exit code 1"),
    ]
    daemon.answer(m.ListJobs, m.JobsReply(items))
    lines = torcctl("jobs").out.splitlines()
    assert lines[0].split() == [
        "KEY",
        "NAME",
        "STATUS",
        "CODE",
        "STARTED",
        "TOOK",
        "REASON",
        "MESSAGE",
    ]
    assert lines[1].split() == ["8", "a", "completed", "0", "-", "-", "-", "-"]
    assert "b" * 200 in lines[2]
    assert lines[0].index("STATUS") == lines[1].index("completed") == lines[2].index("failed")


def test_jobs_are_filtered_by_the_daemon(daemon: CannedDaemon, torcctl: Run) -> None:
    daemon.answer(m.ListJobs, m.JobsReply([]))
    torcctl("jobs", "--status", "failed", "--status", "canceled", "--name", "w*")
    assert daemon.asked(m.ListJobs) == [{"statuses": ["failed", "canceled"], "jobs": ["w*"]}]


def test_a_job_in_json_has_null_for_what_is_not_there(daemon: CannedDaemon, torcctl: Run) -> None:
    daemon.answer(m.ListJobs, m.JobsReply([job("a", "blocked", attempt_id=None)]))
    (shown,) = torcctl("jobs", "--json").json()["items"]
    assert set(shown) == set(m.JobInfo.__struct_fields__)
    assert shown["return_code"] is shown["reason"] is shown["attempt_id"] is None
    assert shown["stopping"] is False


def test_names_cannot_write_to_the_terminal(daemon: CannedDaemon, torcctl: Run) -> None:
    daemon.answer(m.ListJobs, m.JobsReply([job("\x1b[2J\x9bnasty\u202e", message="a\nb\rc")]))
    out = torcctl("jobs").out
    assert "\\x1b[2J\\x9bnasty\\u202e" in out
    assert "a\\nb\\rc" in out
    assert not any(ord(ch) < 32 and ch != "\n" for ch in out)


def test_results_ask_for_a_run_or_for_all(daemon: CannedDaemon, torcctl: Run) -> None:
    daemon.answer(m.ListResults, m.ResultsReply([result("a")]))
    out = torcctl("results", "a", "--run", "2").out
    assert "1.5s" in out
    assert "12MiB" in out
    torcctl("results", "--all")
    assert daemon.asked(m.ListResults) == [{"run_id": 2, "jobs": ["a"]}, {"all_runs": True}]
    assert torcctl("results", "--all", "--run", "1").code == 2


def test_files_show_who_makes_and_reads_them(daemon: CannedDaemon, torcctl: Run) -> None:
    info = m.FileInfo(
        key="4",
        name="f1",
        path="/x/f1",
        exists=True,
        size_bytes=2048,
        modified_at=None,
        producers=["a"],
        consumers=["b", "c"],
    )
    daemon.answer(m.ListFiles, m.FilesReply([info]))
    row = torcctl("files").out.splitlines()[1]
    assert row.split(maxsplit=5) == ["4", "f1", "yes", "2.0KiB", "a", "b, c     /x/f1"]


def test_explain_says_what_is_waited_for_and_what_helps(daemon: CannedDaemon, torcctl: Run) -> None:
    daemon.answer(
        m.Explain,
        m.Explanation(
            job=job("b", "blocked"),
            summary="it is blocked",
            waits_for=["job a (failed)"],
            remedy="retry a",
        ),
    )
    assert torcctl("explain", "b").out == "b: it is blocked\n  waits for job a (failed)\nretry a\n"
    assert torcctl("explain", "b", "--json").json()["job"]["name"] == "b"


def test_events_are_listed_from_a_number_on(daemon: CannedDaemon, torcctl: Run) -> None:
    events = [event(3, job_name="a", status="failed", return_code=2).event]
    daemon.answer(m.ListEvents, m.EventsReply(events))
    assert "job_changed  a      failed, return code 2" in torcctl("events", "--since", "3").out
    assert torcctl("events", "--json").json()["items"][0]["number"] == 3
    assert daemon.asked(m.ListEvents) == [{"since": 3}, {}]


def test_followed_events_are_one_a_line_and_go_on_where_the_reader_was_cut_off(
    daemon: CannedDaemon, torcctl: Run
) -> None:
    streams = [
        [event(1), event(2), errors.Lagged("too slow", next=5)],
        [event(5), HANG_UP],
        [event(6)],
    ]
    daemon.answer(m.FollowEvents, lambda _: streams.pop(0))
    outcome = torcctl("events", "-f", "-F", "json")
    assert [json.loads(line)["number"] for line in outcome.out.splitlines()] == [1, 2, 5, 6]
    assert [call.get("since") for call in daemon.asked(m.FollowEvents)] == [None, 5, 6]
    assert outcome.code == 0


def test_wait_ends_with_4_when_the_workflow_did_not_complete(
    daemon: CannedDaemon, torcctl: Run
) -> None:
    for status, code in (("completed", 0), ("failed", 4), ("canceled", 4)):
        daemon.answer(
            m.FollowWorkflow,
            [m.WorkflowReply(workflow("running")), m.WorkflowReply(workflow(status))],
        )
        outcome = torcctl("wait", "--json")
        assert outcome.code == code
        assert outcome.json()["status"] == status
    assert f"workflow 7 diamond {status}" in torcctl("wait").err


def test_wait_gives_up_in_time_with_124(daemon: CannedDaemon, torcctl: Run) -> None:
    daemon.answer(m.FollowWorkflow, [m.WorkflowReply(workflow("running")), SILENCE])
    outcome = torcctl("wait", "--timeout", "0.05")
    assert outcome.code == 124
    assert outcome.err == "torcctl: the workflow took longer than 0.05 s\n"


def test_wait_stays_across_a_daemon_that_restarts(daemon: CannedDaemon, torcctl: Run) -> None:
    streams: list[list[Any]] = [
        [m.WorkflowReply(workflow("running")), HANG_UP],
        [m.WorkflowReply(workflow("completed"))],
    ]
    daemon.answer(m.FollowWorkflow, lambda _: streams.pop(0))
    assert torcctl("wait").code == 0
    assert daemon.asked(m.FollowWorkflow) == [{}, {"workflow_key": "7"}]


def test_cancel_takes_jobs_or_the_whole_workflow(daemon: CannedDaemon, torcctl: Run) -> None:
    daemon.answer(m.Cancel, m.Changed(workflow_key="7", jobs=["a", "b"]))
    outcome = torcctl("cancel", "a*")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == "workflow 7: canceling a, b\n"
    torcctl("cancel", "-k", "7")
    assert daemon.asked(m.Cancel) == [{"jobs": ["a*"]}, {"workflow_key": "7"}]


def test_cancel_can_wait_until_the_last_job_is_gone(daemon: CannedDaemon, torcctl: Run) -> None:
    daemon.answer(m.Cancel, m.Changed(workflow_key="7", jobs=["a"]))
    daemon.answer(m.FollowWorkflow, [m.WorkflowReply(workflow())] * 3)
    lists = [
        m.JobsReply([job("a", "running", stopping=True), job("b", "running", stopping=True)]),
        m.JobsReply([job("a", "canceled"), job("b", "running", stopping=True)]),
    ]
    daemon.answer(m.ListJobs, lambda _: lists.pop(0))
    assert torcctl("cancel", "a", "--wait").err == "workflow 7: canceled a\n"
    assert not lists


@pytest.mark.parametrize(
    ("words", "method", "given", "said"),
    [
        (("pause",), m.Pause, {}, "workflow 7 diamond paused\n"),
        (("resume",), m.Resume, {}, "workflow 7 diamond resumed\n"),
        (("disable", "a", "b*"), m.Disable, {"jobs": ["a", "b*"]}, "workflow 7: disabled a\n"),
        (("enable", "a"), m.Enable, {"jobs": ["a"]}, "workflow 7: enabled a\n"),
    ],
)
def test_what_steers_says_what_it_did(
    words: tuple[str, ...],
    method: type[msgspec.Struct],
    given: dict[str, Any],
    said: str,
    daemon: CannedDaemon,
    torcctl: Run,
) -> None:
    reply: msgspec.Struct = m.Changed(workflow_key="7", jobs=["a"])
    daemon.answer(method, m.WorkflowReply(workflow()) if "jobs" not in given else reply)
    outcome = torcctl(*words)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", said)
    assert daemon.asked(method) == [given]
    assert torcctl(*words, "--json").json()


def test_a_join_has_both_ends_with_the_keys_as_torc_has_them(
    daemon: CannedDaemon, torcctl: Run
) -> None:
    source = m.JoinNode(key="8", name="work2")
    target = m.JoinNode(
        key="9", name="output_data1", is_ephemeral=False, data=msgspec.Raw(b'{"result":1.20}')
    )
    daemon.answer(m.Join, m.JoinReply([m.Joined(source=source, target=target)]))
    words = ("-k", "7", "-F", "json", "collections", "join", "job-consumes-data", "-f", "key=8")
    outcome = torcctl(*words)
    (item,) = outcome.json()["items"]
    assert item["from"]["_key"] == "8"
    assert item["to"]["_key"] == "9"
    assert item["to"]["name"] == "output_data1"
    assert item["to"]["is_ephemeral"] is False
    assert item["to"]["data"] == {"result": 1.2}
    assert "1.20" in outcome.out
    assert daemon.asked(m.Join) == [{"name": "job-consumes-data", "workflow_key": "7", "key": "8"}]
    assert '{"result":1.20}' in torcctl("collections", "join", "job-consumes-data").out
    assert torcctl("collections", "join", "x", "-f", "name=8").code == 2


def test_the_joins_are_listed(daemon: CannedDaemon, torcctl: Run) -> None:
    daemon.answer(m.ListJoins, m.JoinsReply([m.JoinInfo(name="job-blocks", description="waits")]))
    assert "job-blocks  waits" in torcctl("collections", "list").out


def test_values_are_listed_with_their_text_and_absent_data_stays_absent(
    daemon: CannedDaemon, torcctl: Run
) -> None:
    items = [record("[1.0,  2]").record, record(None, name="m", key="10").record]
    daemon.answer(u.List, u.RecordsReply(items))
    assert "[1.0,  2]" in torcctl("data", "list").out
    shown = torcctl("data", "list", "--json").json()["items"]
    assert shown[0]["data"] == [1.0, 2]
    assert "data" not in shown[1]
    assert shown[1]["revision"] == 0


def test_history_and_watch_show_each_revision(daemon: CannedDaemon, torcctl: Run) -> None:
    replies = [record("1", revision=1), record("2", revision=2)]
    daemon.answer(u.History, u.RecordsReply([reply.record for reply in replies]))
    daemon.answer(u.Watch, replies)
    shown = torcctl("user-data", "history", "n", "--json").json()["items"]
    assert [item["revision"] for item in shown] == [1, 2]
    lines = torcctl("data", "watch", "n", "--json").out.splitlines()
    assert [json.loads(line)["revision"] for line in lines] == [1, 2]
    assert len(torcctl("data", "watch").out.splitlines()) == 2
    assert daemon.asked(u.Watch) == [{"name": "n"}, {}]


def test_daemon_status_is_whole_and_3_without_one(
    daemon: CannedDaemon, torcctl: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.answer(m.GetStatus, daemon_status(4321))
    assert torcctl("daemon", "status", "--json").json()["warden_pid"] is None
    assert "pid        4321\n" in torcctl("daemon", "status").out
    monkeypatch.setenv("TORC_SOCKET", "/nowhere")
    outcome = torcctl("daemon", "status")
    assert outcome.code == 3
    assert "torcctl daemon start" in outcome.err


def test_actions_are_listed_by_command_and_whole_as_json(
    daemon: CannedDaemon, torcctl: Run
) -> None:
    daemon.answer(m.ListActions, m.ActionsReply([failed_action()]))
    lines = torcctl("actions").out.splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "ACTION TRIGGER COMMAND STATUS CODE TOOK WHY TEXT",
        "1 on_workflow_complete 1 failed 3 1.5s exited with status 3 tar",
        "1 on_workflow_complete 2 canceled - - - rm",
    ]
    shown = torcctl("actions", "--json").json()
    assert shown["items"][0]["commands"][0]["stderr"] == "/logs/7/action-1.1.1.err"


def test_wait_says_that_actions_have_failed(daemon: CannedDaemon, torcctl: Run) -> None:
    info = workflow("completed", actions={"failed": 2})
    daemon.answer(m.FollowWorkflow, [m.WorkflowReply(info)])
    outcome = torcctl("wait")
    assert outcome.code == 0
    assert "2 actions failed: torcctl -k 7 actions" in outcome.err


def test_the_summary_and_the_status_say_how_many_actions_failed(
    daemon: CannedDaemon, torcctl: Run
) -> None:
    info = workflow("completed", actions={"completed": 2, "failed": 1})
    daemon.answer(m.GetWorkflow, m.WorkflowReply(info))
    assert "2 completed, 1 failed" in torcctl("status").out
    assert summary(info, [], 0).splitlines()[1:] == [
        "1 action failed: torcctl -k 7 actions, torcctl -k 7 logs --action N --stderr"
    ]
