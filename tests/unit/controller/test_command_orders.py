"""The orders for commands of actions."""

from pathlib import Path

import pytest

from torcd.controller.launching import MAX_VARIABLE_BYTES, Launcher
from torcd.controller.layout import Layout
from torcd.executors.base import AttemptOrder
from torcd.model import Action, AttemptKey, Job, JobKey, Workflow, WorkflowKey
from torcd.scheduler.commands import StartCommand


def order(directory: Path, names: tuple[str, ...], command: int = 1) -> AttemptOrder:
    """Of an action about all jobs of that names."""
    jobs = tuple(Job(key=JobKey(8 + n), name=name, command="") for n, name in enumerate(names))
    action = Action(
        trigger="on_jobs_ready",
        commands=("echo one", "echo two"),
        jobs=tuple(reversed([job.key for job in jobs])),
    )
    workflow = Workflow(
        key=WorkflowKey(7), name="w", jobs=jobs, actions=(action,), directory="/study"
    )
    start = StartCommand(
        attempt_key=AttemptKey(3), workflow_key=workflow.key, run_id=2, action=1, command=command
    )
    layout = Layout(str(directory))
    return Launcher(layout, b"secret", "/bin/bash").command_order(start, workflow)


def test_a_command_goes_through_the_shell_in_the_directory_of_its_workflow(tmp_path: Path) -> None:
    found = order(tmp_path, ("a",), command=2)
    assert (found.argv, found.cwd) == (("/bin/bash", "-c", "echo two"), "/study")
    assert found.stdout == f"{tmp_path}/logs/7/action-1.2.2.out"
    assert found.stderr == f"{tmp_path}/logs/7/action-1.2.2.err"
    assert (tmp_path / "logs" / "7").is_dir()


def test_commands_have_a_lane_of_their_own_for_one_at_a_time(tmp_path: Path) -> None:
    found = order(tmp_path, ("a",))
    assert (found.lane, found.lane_limit, found.base_environment) == (-7, 1, "w7")


def test_a_command_is_told_its_trigger_and_its_jobs_and_has_no_token(tmp_path: Path) -> None:
    assert order(tmp_path, ("a", "b c")).environment == {
        "TORC_RUN_ID": "2",
        "TORC_ACTION_TRIGGER": "on_jobs_ready",
        "TORC_ACTION_JOBS": "a\nb c",
    }


@pytest.mark.parametrize(("longer", "is_there"), [(0, True), (1, False)])
def test_more_names_than_a_variable_can_hold_are_left_out(
    tmp_path: Path, longer: int, is_there: bool
) -> None:
    names = ("ä" * 1_000, "x" * (MAX_VARIABLE_BYTES - 2_001 + longer))
    assert ("TORC_ACTION_JOBS" in order(tmp_path, names).environment) == is_there
