"""Actions: when they begin, what they hold up, and what ends them."""

import pytest
from msgspec.structs import replace

from torcd.errors import WrongState
from torcd.model import ActionTrigger, JobStatus, Timestamp, WorkflowStatus
from torcd.scheduler import Scheduler
from torcd.scheduler import events as e
from torcd.scheduler.building import AS_SUBMITTED
from torcd.scheduler.commands import AddCommand, Command, SaveAttempt, StartCommand, StopAttempt

from .play import Play, refused
from .specs import ActionSpec, job

START: ActionTrigger = "on_workflow_start"
END: ActionTrigger = "on_workflow_complete"
READY: ActionTrigger = "on_jobs_ready"
COMPLETE: ActionTrigger = "on_jobs_complete"


def began(play: Play) -> list[tuple[int, int]]:
    """Action and command of each that was begun, in this order."""
    added = [c for c in play.history if isinstance(c, AddCommand)]
    started = [c for c in play.history if isinstance(c, StartCommand)]
    assert [c.attempt_key for c in added] == [c.attempt_key for c in started]
    return [(c.action, c.command) for c in added]


def exits(play: Play, code: int = 0) -> list[Command]:
    """The newest command does."""
    [*_, newest] = [c for c in play.history if isinstance(c, AddCommand)]
    return play.tell(
        e.AttemptExited(
            attempt_key=newest.attempt_key,
            return_code=code,
            cpu_seconds=0.5,
            peak_memory_bytes=1024,
            outputs=e.Outputs(),
            at=play.now,
        )
    )


def statuses(play: Play) -> list[str]:
    return [action.state.status.value for action in play.node.actions.nodes]


def test_jobs_start_when_what_comes_before_them_has_ended() -> None:
    play = Play(actions=[ActionSpec(START, n_commands=2)], a=job())
    assert (play.status("a"), began(play)) == ("ready", [(1, 1)])
    exits(play)
    assert (play.status("a"), began(play)) == ("ready", [(1, 1), (1, 2)])
    exits(play)
    assert play.status("a") == "pending"


def test_jobs_start_also_when_what_comes_before_them_failed() -> None:
    play = Play(actions=[ActionSpec(START)], a=job())
    exits(play, 1)
    assert (statuses(play), play.status("a")) == (["failed"], "pending")


def test_a_command_that_fails_is_the_last_of_its_action_only() -> None:
    play = Play(actions=[ActionSpec(START, n_commands=3), ActionSpec(START, n_commands=2)], a=job())
    exits(play, 3)
    exits(play)
    exits(play)
    assert began(play) == [(1, 1), (2, 1), (2, 2)]
    assert statuses(play) == ["failed", "completed"]


def test_a_failed_action_does_not_change_how_the_workflow_ends() -> None:
    play = Play(actions=[ActionSpec(END)], a=job())
    play.exits("a")
    exits(play, -9)
    assert play.workflow_status == "completed"
    [saved] = [c for c in play.last if isinstance(c, SaveAttempt)]
    assert (saved.return_code, saved.message) == (-9, "killed by SIGKILL")


def test_a_workflow_is_not_over_before_what_is_to_be_done_at_its_end() -> None:
    play = Play(actions=[ActionSpec(END, n_commands=2)], a=job(), b=job(after="a"))
    play.exits("a", 1)
    assert (play.statuses, began(play)) == ({"a": "failed", "b": "canceled"}, [(1, 1)])
    assert play.workflow_status == "running"
    exits(play)
    assert play.workflow_status == "running"
    exits(play)
    assert play.workflow_status == "failed"


def test_a_set_is_ready_when_the_last_of_it_is() -> None:
    play = Play(actions=[ActionSpec(READY, "b c")], a=job(), b=job(), c=job(after="a"))
    assert began(play) == []
    play.exits("b")
    assert began(play) == []
    play.exits("a")
    assert began(play) == [(1, 1)]


def test_a_set_with_a_job_that_is_canceled_before_it_starts_is_never_ready() -> None:
    play = Play(actions=[ActionSpec(READY, "b c")], a=job(), b=job(after="a"), c=job())
    play.exits("a", 1)
    play.exits("c")
    assert (play.workflow_status, began(play)) == ("failed", [])


def test_a_set_is_complete_when_the_last_of_it_has_ended_however() -> None:
    play = Play(
        actions=[ActionSpec(COMPLETE, "a b c d")], a=job(), b=job(), c=job(after="b"), d=job()
    )
    play.pause()
    play.does_not_start("d")
    play.disable("d")
    play.resume()
    play.exits("a")
    assert began(play) == []
    play.exits("b", 1)
    assert (play.status("c"), began(play)) == ("canceled", [(1, 1)])


def test_one_action_runs_at_a_time_and_those_that_are_due_in_the_order_of_the_spec() -> None:
    play = Play(
        actions=[
            ActionSpec(END),
            ActionSpec(COMPLETE, "a"),
            ActionSpec(READY, "a"),
            ActionSpec(START),
        ],
        a=job(),
    )
    exits(play)
    assert began(play) == [(4, 1), (3, 1)]
    play.exits("a")
    assert began(play) == [(4, 1), (3, 1)]
    exits(play)
    assert began(play) == [(4, 1), (3, 1), (2, 1)]
    exits(play)
    assert began(play) == [(4, 1), (3, 1), (2, 1), (1, 1)]


def test_commands_take_no_place_of_jobs() -> None:
    play = Play(parallel=1, actions=[ActionSpec(READY, "a")], a=job(), b=job())
    assert (play.status("a"), play.status("b"), began(play)) == ("pending", "ready", [(1, 1)])


def test_nothing_begins_in_a_paused_workflow_and_what_has_begun_goes_on() -> None:
    play = Play(actions=[ActionSpec(START, n_commands=2), ActionSpec(READY, "a")], a=job())
    play.pause()
    exits(play)
    exits(play)
    assert (statuses(play), began(play)) == (["completed", "blocked"], [(1, 1), (1, 2)])
    play.resume()
    assert (play.status("a"), began(play)) == ("pending", [(1, 1), (1, 2), (2, 1)])


def test_canceling_stops_what_runs_and_still_does_what_is_to_be_done_at_the_end() -> None:
    play = Play(
        actions=[ActionSpec(START, n_commands=2), ActionSpec(COMPLETE, "a"), ActionSpec(END)],
        a=job(),
    )
    play.cancel()
    assert [c.supports_termination for c in play.last if isinstance(c, StopAttempt)] == [True]
    assert play.status("a") == "canceled"
    exits(play, -15)
    assert began(play) == [(1, 1), (3, 1)]
    assert statuses(play) == ["canceled", "blocked", "pending"]
    exits(play)
    assert play.workflow_status == "canceled"


def test_canceling_again_stops_what_is_done_at_the_end() -> None:
    play = Play(actions=[ActionSpec(END)], a=job())
    play.cancel()
    play.does_not_start("a")
    assert play.cancel() != []
    assert statuses(play) == ["pending"]
    assert play.cancel() == []
    exits(play, -15)
    assert (statuses(play), play.workflow_status) == (["canceled"], "canceled")


def test_a_workflow_at_its_end_takes_no_job_back() -> None:
    play = Play(parallel=1, actions=[ActionSpec(END)], a=job(), b=job())
    play.disable("b")
    play.exits("a")
    with refused(WrongState, "on_workflow_complete"):
        play.enable("b")


def test_what_cannot_be_started_or_is_lost_has_failed() -> None:
    play = Play(actions=[ActionSpec(START), ActionSpec(END)], a=job())
    [added] = [c for c in play.history if isinstance(c, AddCommand)]
    play.tell(e.AttemptNotStarted(added.attempt_key, "no such directory", play.now))
    play.exits("a")
    [added] = [c for c in play.last if isinstance(c, AddCommand)]
    play.tell(e.AttemptLost(added.attempt_key, "nobody knows", play.now))
    reasons = [action.state.reason.value for action in play.node.actions.nodes]
    assert (reasons, play.workflow_status) == (["start_failed", "lost"], "completed")


def test_a_report_that_comes_again_changes_nothing() -> None:
    play = Play(actions=[ActionSpec(START, n_commands=2)], a=job())
    [first] = [c for c in play.history if isinstance(c, AddCommand)]
    started = e.AttemptStarted(first.attempt_key, play.now)
    play.tell(started)
    play.changes_nothing(started)
    play.changes_nothing(e.AttemptNotStarted(first.attempt_key, None, play.now))
    exits(play)
    play.changes_nothing(e.AttemptLost(first.attempt_key, "nobody knows", play.now))
    play.changes_nothing(started)


@pytest.mark.parametrize("is_stopped", [False, True])
def test_after_a_restart_what_was_wanted_is_wanted_again_and_nothing_begins_twice(
    is_stopped: bool,
) -> None:
    play = Play(actions=[ActionSpec(START, n_commands=2), ActionSpec(END)], a=job())
    exits(play)
    commands = [c for c in play.history if isinstance(c, AddCommand)]
    loaded = e.WorkflowLoaded(
        workflow=play.workflow,
        status=WorkflowStatus.RUNNING,
        stopping=False,
        run_id=1,
        max_parallel_jobs=1,
        wait_for_inputs=False,
        started_at=Timestamp(1),
        ended_at=None,
        jobs=(AS_SUBMITTED,),
        action_commands=tuple(
            e.LoadedCommand(
                attempt_key=c.attempt_key,
                action=c.action,
                command=c.command,
                status=saved.status,
                reason=saved.reason,
                message=saved.message,
                return_code=saved.return_code,
                started_at=saved.started_at,
                ended_at=saved.ended_at,
            )
            for c, saved in zip(commands, _saved(play, is_stopped), strict=True)
        ),
        values={},
        stored_in_run={},
        absent_files=frozenset(),
        at=Timestamp(2),
    )
    scheduler = Scheduler(next_key=10, next_attempt_key=10)
    wanted = [c for c in scheduler.handle(loaded) if isinstance(c, StartCommand | StopAttempt)]
    assert wanted[0] == StartCommand(
        attempt_key=commands[1].attempt_key,
        workflow_key=play.workflow.key,
        run_id=1,
        action=1,
        command=2,
    )
    assert len(wanted) == (2 if is_stopped else 1)


def _saved(play: Play, is_stopped: bool) -> list[SaveAttempt]:
    [first] = [c for c in play.history if isinstance(c, SaveAttempt)]
    if is_stopped:
        play.cancel()
    stops = [c for c in play.last if isinstance(c, SaveAttempt) and c.ended_at is None]
    assert len(stops) == is_stopped
    return [first, *(stops or [_pending(first)])]


def _pending(like: SaveAttempt) -> SaveAttempt:
    """What the database has of an attempt of which nothing is known."""
    return replace(like, status=JobStatus.PENDING, return_code=None, started_at=None, ended_at=None)
