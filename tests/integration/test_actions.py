"""Actions through a real daemon: each once in each run, whatever becomes of the daemon."""

import asyncio
from pathlib import Path

import pytest

from tests.daemon_process import Daemon
from tests.integration.test_workflows import Gate, over
from torcd.model import Action, ActionTrigger, Job, JobKey, Timestamp, Workflow, WorkflowKey
from torcd.model import WorkflowStatus as W
from torcd.protocol import manager as m
from torcd.scheduler.commands import CreateWorkflow
from torcd.store import Store


def action(trigger: ActionTrigger, *commands: str, jobs: tuple[int, ...] = ()) -> Action:
    """`jobs` are positions from 1."""
    keys = tuple(JobKey(1 + n) for n in jobs)
    return Action(trigger=trigger, commands=commands, jobs=keys)


def submit(daemon: Daemon, directory: Path, commands: dict[str, str], *actions: Action) -> str:
    """A workflow of jobs that do not depend on one another; its key. The daemon is started anew."""
    workflow = Workflow(
        key=WorkflowKey(1),
        name="w",
        jobs=tuple(
            Job(key=JobKey(2 + n), name=name, command=command)
            for n, (name, command) in enumerate(commands.items())
        ),
        directory=str(directory),
        actions=actions,
    )
    creation = CreateWorkflow(
        workflow=workflow,
        max_parallel_jobs=2,
        wait_for_inputs=False,
        next_key=1 + workflow.size,
        at=Timestamp(1),
    )

    async def write() -> None:
        async with Store.open(daemon.state_dir / "torcd.db") as store:
            await store.commit(
                [creation], [], environments={workflow.key: daemon.environment}, boot_id="b"
            )

    daemon.stop()
    asyncio.run(write())
    daemon.start()
    return "1"


def actions(daemon: Daemon) -> list[m.ActionInfo]:
    with daemon.client() as client:
        return client.call(m.ListActions(workflow_key="1")).items


def wait_for(daemon: Daemon, number: int, status: str, *, command: int = 1) -> None:
    """Return when a command of an action is in that state."""
    with daemon.client() as client:
        for _ in client.stream(m.FollowWorkflow(workflow_key="1")):
            if actions(daemon)[number - 1].commands[command - 1].status.value == status:
                return
    raise AssertionError(f"command {command} of action {number} never was {status}")


def test_each_runs_when_its_trigger_comes_about(daemon: Daemon, tmp_path: Path) -> None:
    submit(
        daemon,
        tmp_path,
        {"a": "echo a >> order", "b": "test -d made && echo b >> other"},
        action("on_workflow_complete", "echo end >> order"),
        action("on_jobs_complete", "echo complete >> order", jobs=(1,)),
        action("on_workflow_start", "mkdir made", "echo start >> order"),
    )
    assert over(daemon, "1").status is W.COMPLETED
    assert (tmp_path / "order").read_text().split() == ["start", "a", "complete", "end"]
    assert (tmp_path / "other").read_text() == "b\n"


def test_a_command_knows_its_workflow_its_trigger_and_its_jobs(
    daemon: Daemon, tmp_path: Path
) -> None:
    variables = "$PWD $TORC_WORKFLOW_KEY $TORC_RUN_ID $TORC_ACTION_TRIGGER $TORC_ACTION_JOBS"
    submit(
        daemon,
        tmp_path,
        {"a": "true", "b b": "true", "c": "true"},
        action("on_jobs_complete", f"echo {variables}; echo oops >&2", jobs=(1, 2)),
    )
    over(daemon, "1")
    [command] = actions(daemon)[0].commands
    assert command.stdout == str(daemon.state_dir / "logs" / "1" / "action-1.1.1.out")
    assert Path(command.stdout).read_text() == f"{tmp_path} 1 1 on_jobs_complete a b b\n"
    assert Path(command.stderr or "").read_text() == "oops\n"
    assert daemon.torcctl("logs", "--action", "1", "--stderr").stdout == "oops\n"


def test_a_failure_is_shown_and_recorded_and_changes_nothing_else(
    daemon: Daemon, tmp_path: Path
) -> None:
    submit(
        daemon,
        tmp_path,
        {"a": "true"},
        action("on_workflow_start", "exit 3", "touch never"),
        action("on_workflow_complete", "touch done"),
    )
    info = over(daemon, "1")
    assert (info.status, info.actions) == (W.COMPLETED, {"failed": 1, "completed": 1})
    first, second = actions(daemon)[0].commands
    assert (first.return_code, first.message) == (3, "exited with status 3")
    assert (second.status.value, second.started_at) == ("canceled", None)
    assert (tmp_path / "done").exists()
    assert not (tmp_path / "never").exists()
    assert daemon.json("results")["items"][0]["job_name"] == "a"
    assert len(daemon.json("results")["items"]) == 1
    kinds = [e["kind"] for e in daemon.json("events", "-k", "1")["items"] if e.get("action") == 1]
    assert set(kinds) == {"action_changed"}


def test_waiting_ends_when_what_is_to_be_done_at_the_end_has_ended(
    daemon: Daemon, tmp_path: Path
) -> None:
    gate = Gate(tmp_path, "gate")
    submit(
        daemon,
        tmp_path,
        {"a": "exit 1"},
        action("on_workflow_complete", gate.command),
    )
    wait_for(daemon, 1, "running")
    assert daemon.torcctl("wait", "--timeout", "0.1").returncode == 124
    assert daemon.json("status")["status"] == "running"
    gate.open()
    assert daemon.torcctl("wait").returncode == 4
    assert daemon.json("status")["status"] == "failed"


@pytest.mark.parametrize("while_down", [False, True])
def test_a_command_runs_once_though_the_daemon_is_killed(
    daemon: Daemon, tmp_path: Path, while_down: bool
) -> None:
    gate = Gate(tmp_path, "gate")
    once = f"echo once >> starts; {gate.command}; exit 5"
    submit(
        daemon,
        tmp_path,
        {"a": "true"},
        action("on_workflow_start", "echo first >> starts", once),
        action("on_workflow_complete", "echo end >> starts"),
    )
    wait_for(daemon, 1, "running", command=2)
    daemon.kill()
    if while_down:
        gate.open()
    daemon.start()
    if not while_down:
        assert actions(daemon)[0].status.value == "running"
        gate.open()
    assert over(daemon, "1").status is W.COMPLETED
    assert (tmp_path / "starts").read_text().split() == ["first", "once", "end"]
    assert [c.return_code for c in actions(daemon)[0].commands] == [0, 5]


def test_canceling_stops_what_runs_and_does_what_is_to_be_done_at_the_end(
    daemon: Daemon, tmp_path: Path
) -> None:
    submit(
        daemon,
        tmp_path,
        {"a": "touch never"},
        action("on_workflow_start", "sleep 1000", "touch never"),
        action("on_workflow_complete", "touch end"),
    )
    wait_for(daemon, 1, "running")
    assert daemon.torcctl("cancel").returncode == 0
    assert over(daemon, "1").status is W.CANCELED
    assert [one.status.value for one in actions(daemon)] == ["canceled", "completed"]
    assert (tmp_path / "end").exists()
    assert not (tmp_path / "never").exists()


def test_a_job_that_waits_for_them_is_explained(daemon: Daemon, tmp_path: Path) -> None:
    gate = Gate(tmp_path, "gate")
    submit(daemon, tmp_path, {"a": "true"}, action("on_workflow_start", gate.command))
    wait_for(daemon, 1, "running")
    assert "on_workflow_start" in daemon.torcctl("explain", "a").stdout
    gate.open()
    assert over(daemon, "1").status is W.COMPLETED


def test_stopping_the_daemon_waits_for_what_has_begun_and_the_next_one_goes_on(
    daemon: Daemon, tmp_path: Path
) -> None:
    gate = Gate(tmp_path, "gate")
    submit(
        daemon,
        tmp_path,
        {"a": "echo a >> order"},
        action("on_workflow_start", gate.command, "echo start >> order"),
    )
    wait_for(daemon, 1, "running")
    assert daemon.process is not None
    with daemon.client() as client:
        client.call(m.Stop(jobs="wait"))
    gate.open()
    assert daemon.process.wait(timeout=30) == 0
    assert (tmp_path / "order").read_text() == "start\n"
    daemon.process = None
    daemon.start()
    assert over(daemon, "1").status is W.COMPLETED
    assert (tmp_path / "order").read_text() == "start\na\n"
