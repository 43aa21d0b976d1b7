"""Failure handlers: other attempts, scripts before them, and rests."""

from typing import Any

import pytest

from torcd.model import FailureRule, JobStatus, Reason
from torcd.scheduler import Scheduler
from torcd.scheduler import events as e
from torcd.scheduler.building import AS_SUBMITTED
from torcd.scheduler.commands import (
    AddAttempt,
    SaveAttempt,
    SaveJob,
    StartCommand,
    StartRecovery,
    WakeAt,
)
from torcd.scheduler.invariants import violations

from .play import Play
from .specs import ActionSpec, job


def handled(*rules: FailureRule, **more: Any) -> Play:
    jobs = {"a": job(handler="h"), "b": job(after="a")}
    return Play(handlers={"h": rules}, **{**jobs, **more})


ANY = FailureRule(match_all_exit_codes=True)


def test_a_job_is_tried_again_and_who_waits_for_it_goes_on_waiting():
    play = handled(ANY)
    play.exits("a", 1)
    assert play.statuses == {"a": "pending", "b": "blocked"}
    [saved] = [c for c in play.last if isinstance(c, SaveAttempt)]
    assert (saved.status, saved.return_code) == (JobStatus.FAILED, 1)
    [added] = [c for c in play.last if isinstance(c, AddAttempt)]
    assert (added.attempt_id, added.is_recovery) == (2, False)
    play.exits("a")
    play.exits("b")
    assert play.workflow_status == "completed"


def test_three_retries_are_four_attempts():
    play = handled(ANY)
    for _ in range(3):
        play.exits("a", 1)
        assert play.status("a") == "pending"
    play.exits("a", 1)
    assert play.statuses == {"a": "failed", "b": "canceled"}
    assert play.job("a").attempt_id == 4


@pytest.mark.parametrize(
    ("rule", "end", "is_handled"),
    [
        ({"exit_codes": (3, 4)}, {"code": 4}, True),
        ({"exit_codes": (3, 4)}, {"code": 5}, False),
        ({"exit_codes": (-9,)}, {"code": -9}, True),
        ({"match_all_exit_codes": True}, {"code": -9}, True),
        ({"match_all_exit_codes": True}, {"code": 9, "ran_out_of_memory": True}, False),
        ({"match_all_exit_codes": True}, {"missing": "f"}, False),
        ({"on": (Reason.OOM,)}, {"code": 9, "ran_out_of_memory": True}, True),
        ({"on": (Reason.SIGNAL,)}, {"code": -15}, True),
        ({"on": (Reason.SIGNAL,)}, {"code": 15}, False),
        ({"on": (Reason.MISSING_OUTPUT,)}, {"missing": "f"}, True),
        ({"on": (Reason.BAD_OUTPUT,)}, {"problem": "line 1"}, True),
    ],
)
def test_a_rule_applies_to_return_codes_and_to_reasons(rule, end, is_handled):
    play = Play(a=job(handler="h", writes="f"), handlers={"h": [FailureRule(**rule)]})
    play.exits("a", **end)
    assert play.status("a") == ("pending" if is_handled else "failed")


def test_what_is_lost_or_could_not_be_started_is_tried_again_where_a_rule_says_so():
    play = handled(FailureRule(on=(Reason.LOST, Reason.START_FAILED)))
    play.is_lost("a")
    assert play.status("a") == "pending"
    play.does_not_start("a", "no such program")
    assert play.status("a") == "pending"


def test_a_runtime_limit_is_a_reason_and_a_cancel_is_none():
    play = Play(
        a=job(handler="h", runtime_seconds=5),
        b=job(handler="h"),
        handlers={"h": [FailureRule(on=(Reason.TIMEOUT,)), ANY]},
    )
    play.starts("a")
    play.starts("b")
    play.passes(10)
    play.exits("a", -9)
    assert play.status("a") == "pending"
    play.cancel("b")
    play.exits("b", -9)
    assert play.status("b") == "canceled"


def test_the_first_rule_that_matches_applies():
    play = handled(FailureRule(exit_codes=(1,), max_retries=0), ANY)
    play.exits("a", 1)
    assert play.status("a") == "failed"


def test_it_rests_for_the_backoff_which_is_doubled_up_to_the_cap():
    play = handled(
        FailureRule(
            match_all_exit_codes=True, backoff_seconds=10, max_backoff_seconds=25, max_retries=9
        )
    )
    for rest in (10, 20, 25, 25):
        play.starts("a")
        play.exits("a", 1)
        assert play.status("a") == "blocked"
        failed_at = play.job("a").recovery.until - rest * 1_000_000
        assert play.last[-1] == WakeAt(play.job("a").recovery.until)
        saved = play.saved("a")
        assert (saved.reason, saved.return_code) == (Reason.EXIT, 1)
        assert saved.recovery.until - failed_at == rest * 1_000_000
        play.passes(rest / 2)
        assert play.status("a") == "blocked"
        play.passes(rest)
        assert play.status("a") == "pending"


def test_jitter_spreads_jobs_that_failed_together_and_is_the_same_each_time():
    rule = FailureRule(match_all_exit_codes=True, backoff_seconds=10, jitter=0.5)

    def rests() -> list[int]:
        play = Play(**{f"j{n}": job(handler="h") for n in range(20)}, handlers={"h": [rule]})
        found = []
        for n in range(20):
            play.exits(f"j{n}", 1)
            failed_at = play._time
            found.append(play.job(f"j{n}").recovery.until - failed_at)
        return found

    first = rests()
    assert first == rests()
    assert len(set(first)) == 20
    assert all(5_000_000 <= rest <= 15_000_000 for rest in first)


def test_a_job_that_rests_can_be_canceled_and_disabled():
    rule = FailureRule(match_all_exit_codes=True, backoff_seconds=10)
    play = handled(rule)
    play.exits("a", 1)
    play.cancel("a")
    assert play.statuses == {"a": "canceled", "b": "canceled"}
    assert play.passes(60) == []
    play = handled(rule)
    play.exits("a", 1)
    play.disable("a")
    assert play.statuses == {"a": "disabled", "b": "pending"}


def test_all_jobs_together_have_no_more_retries_than_the_workflow_allows():
    play = Play(a=job(handler="h"), b=job(handler="h"), handlers={"h": [ANY]}, max_retries=3)
    for name in ("a", "b", "a"):
        play.exits(name, 1)
        assert play.status(name) == "pending"
    play.exits("b", 1)
    assert play.status("b") == "failed"


def test_a_retry_by_hand_counts():
    play = Play(a=job(handler="h"), b=job(), handlers={"h": [ANY]}, max_retries=1)
    play.exits("b", 1)
    play.retry("b")
    play.exits("a", 1)
    assert play.status("a") == "failed"


# Scripts


SCRIPT = FailureRule(match_all_exit_codes=True, recovery_script="mend", backoff_seconds=10)


def test_a_script_is_run_to_its_end_before_the_retry():
    play = handled(SCRIPT)
    play.starts("a")
    play.exits("a", 7)
    [started] = [c for c in play.last if isinstance(c, StartRecovery)]
    assert (started.script, started.attempt_id, started.return_code) == ("mend", 1, 7)
    [added] = [c for c in play.last if isinstance(c, AddAttempt)]
    assert (added.attempt_id, added.is_recovery) == (1, True)
    assert play.status("a") == "pending"
    play.starts("a")
    play.exits("a")
    assert play.status("a") == "blocked"  # it rests
    assert play.saved("a").recovery.script is None
    play.passes(60)
    assert play.started_now == ["a", "b"]  # one after the other: attempts have been short
    assert play.job("a").attempt_id == 2
    play.exits("a")
    play.exits("b")
    assert play.workflow_status == "completed"


def test_a_script_that_takes_longer_than_the_backoff_is_rest_enough():
    play = handled(SCRIPT)
    play.exits("a", 7)
    play._time += 60_000_000
    play.exits("a")
    assert play.started_now == ["a"]


@pytest.mark.parametrize(
    ("end", "how"),
    [
        (lambda play: play.exits("a", 2), "exited with status 2"),
        (lambda play: play.exits("a", -9), "killed by SIGKILL"),
        (lambda play: play.is_lost("a"), "is lost: nobody knows"),
        (lambda play: play.does_not_start("a", "no bash"), "could not be started: no bash"),
    ],
)
def test_a_script_that_fails_ends_the_retries_with_a_reason(end, how):
    play = handled(SCRIPT)
    play.exits("a", 7)
    end(play)
    assert play.statuses == {"a": "failed", "b": "canceled"}
    assert play.why("a") == (
        "script",
        f"its recovery script {how}; before, the job exited with status 7",
    )
    assert play.job("a").state.return_code == 7


def test_a_script_is_stopped_with_its_job_and_by_its_limit():
    play = handled(SCRIPT)
    play.exits("a", 7)
    play.starts("a")
    play.cancel("a")
    play.exits("a", -9)
    assert play.why("a") == ("canceled", "canceled on request")
    play = Play(a=job(handler="h", runtime_seconds=5), handlers={"h": [SCRIPT]})
    play.exits("a", 7)
    play.starts("a")
    play.passes(60)
    play.exits("a", -9)
    assert play.why("a")[0] == "script"
    assert "runtime limit" in play.why("a")[1]


def test_a_script_that_is_taken_back_is_run_later():
    play = handled(SCRIPT)
    play.exits("a", 7)
    play.pause()
    play.does_not_start("a")
    assert (play.status("a"), play.job("a").attempt_id) == ("ready", 1)
    play.resume()
    assert [c.script for c in play.last if isinstance(c, StartRecovery)] == ["mend"]


def test_the_share_of_a_job_is_that_of_its_script():
    play = Play(a=job(handler="h", num_cpus=2), handlers={"h": [SCRIPT]})
    play.exits("a", 7)
    assert play.status("a") == "pending"
    play.exits("a")
    assert play.scheduler._memory.ledger.held == {}


def test_an_action_for_jobs_that_are_complete_waits_for_the_last_attempt():
    actions = [ActionSpec("on_jobs_complete", "a"), ActionSpec("on_jobs_ready", "a b")]
    play = handled(ANY, actions=actions)
    play.exits("a", 1)
    assert play.status("a") == "pending"
    assert [c for c in play.last if isinstance(c, StartCommand)] == []
    play.exits("a")
    assert [c.action for c in play.last if isinstance(c, StartCommand)] == [1]


# After a restart of the daemon


def loaded(play: Play, at: int, **fields: Any) -> tuple[Scheduler, list[Any]]:
    saved = [c for c in play.history if isinstance(c, SaveJob) and c.job_key == play.keys["a"]][-1]
    other = Scheduler(next_key=100, next_attempt_key=50, is_loading=True)
    first = AS_SUBMITTED
    jobs = tuple(
        e.LoadedJob(
            **{
                **{name: getattr(first, name) for name in first.__struct_fields__},
                "status": saved.status,
                "attempt_id": saved.attempt_id,
                "recovery": saved.recovery,
                **fields,
            }
        )
        if one.name == "a"
        else first
        for one in play.workflow.jobs
    )
    commands = other.handle(
        e.WorkflowLoaded(
            workflow=play.workflow,
            status=play.node.status,
            stopping=False,
            run_id=1,
            max_parallel_jobs=9,
            wait_for_inputs=False,
            started_at=1,
            ended_at=None,
            jobs=jobs,
            values={},
            stored_in_run={},
            absent_files=frozenset(),
            at=at,
        )
    )
    assert violations(other) == []
    return other, commands


def test_who_rests_is_woken_by_the_next_daemon_at_its_time():
    play = handled(FailureRule(match_all_exit_codes=True, backoff_seconds=10))
    play.exits("a", 1)
    until = play.job("a").recovery.until
    other, commands = loaded(play, until - 1)
    assert commands == [WakeAt(until)]
    commands = other.handle(e.TimePassed(until))
    assert [type(c).__name__ for c in commands if isinstance(c, AddAttempt)] == ["AddAttempt"]


def test_who_has_rested_while_no_daemon_was_there_is_tried_at_once():
    play = handled(FailureRule(match_all_exit_codes=True, backoff_seconds=10))
    play.exits("a", 1)
    _, commands = loaded(play, play.job("a").recovery.until)
    assert [c.attempt_id for c in commands if isinstance(c, AddAttempt)] == [2]


def test_a_script_under_way_is_ordered_again():
    play = handled(SCRIPT)
    play.exits("a", 7)
    key = play.attempt("a")
    other, commands = loaded(play, 5, attempt_key=key)
    assert [c.script for c in commands if isinstance(c, StartRecovery)] == ["mend"]
    other.handle(
        e.AttemptExited(
            attempt_key=key,
            return_code=0,
            cpu_seconds=None,
            peak_memory_bytes=None,
            outputs=e.Outputs(),
            at=10**12,
        )
    )
    assert violations(other) == []
    [node] = other.workflows.values()
    assert node.jobs[play.keys["a"]].state.status is JobStatus.PENDING
