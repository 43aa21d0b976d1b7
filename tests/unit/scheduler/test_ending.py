"""How a job ends, and its workflow with it."""

import pytest

from torcd.scheduler.commands import SaveAttempt, SaveWorkflow

from .play import Play
from .specs import job


def the_end(play: Play) -> SaveAttempt:
    [saved] = [c for c in play.last if isinstance(c, SaveAttempt)]
    return saved


def test_a_good_end_has_neither_reason_nor_message():
    play = Play(a=job())
    play.starts("a")
    play.exits("a")
    assert play.status("a") == "completed"
    assert play.why("a") == (None, None)


@pytest.mark.parametrize(
    ("code", "reason", "message"),
    [
        (1, "exit", "exited with status 1"),
        (255, "exit", "exited with status 255"),
        (-9, "signal", "killed by SIGKILL"),
        (-15, "signal", "killed by SIGTERM"),
        (-40, "signal", "killed by signal 40"),
    ],
)
def test_a_bad_return_code_fails_the_job_and_is_kept(code, reason, message):
    play = Play(a=job())
    play.starts("a")
    play.exits("a", code)
    assert play.status("a") == "failed"
    assert play.why("a") == (reason, message)
    assert play.saved("a").return_code == code
    assert the_end(play).return_code == code


def test_a_result_names_its_times_and_what_it_used():
    play = Play(a=job())
    play.starts("a")
    began = play.job("a").state.started_at
    play.exits("a")
    end = the_end(play)
    assert (end.started_at, end.cpu_seconds, end.peak_memory_bytes) == (began, 0.5, 1024)
    assert end.ended_at > began


def test_an_exit_may_be_the_first_that_is_heard_of_an_attempt():
    play = Play(a=job(), b=job(after="a"))
    play.exits("a")
    assert play.statuses == {"a": "completed", "b": "pending"}
    assert the_end(play).started_at == the_end(play).ended_at


# Outputs


def test_a_declared_file_that_was_not_made_fails_the_job_and_its_dependents():
    play = Play(a=job(writes="f g"), b=job(reads="g"))
    play.exits("a", missing="f")
    assert play.statuses == {"a": "failed", "b": "canceled"}
    assert play.why("a") == (
        "missing_output",
        'exited with status 0, but file "f" (/f) was not made',
    )
    assert play.saved("a").return_code == 0


def test_a_value_that_was_never_stored_fails_the_job_and_all_that_is_missing_is_named():
    play = Play(a=job(writes="f", stores="d e"))
    play.stores("d", by="a")
    play.exits("a", missing="f")
    assert play.why("a") == (
        "missing_output",
        'exited with status 0, but file "f" (/f) was not made; user_data "e" was never stored',
    )


def test_an_initial_value_is_no_store():
    play = Play(a=job(stores="d"), initial="d")
    play.exits("a")
    assert play.why("a")[0] == "missing_output"


def test_missing_outputs_do_not_matter_when_the_return_code_is_bad():
    play = Play(a=job(writes="f", stores="d"))
    play.exits("a", 2, missing="f")
    assert play.why("a") == ("exit", "exited with status 2")


def test_an_output_file_that_cannot_be_taken_fails_the_job():
    play = Play(a=job())
    play.exits("a", problem="line 2 is not NAME=JSON")
    assert play.status("a") == "failed"
    assert play.why("a") == ("bad_output", "line 2 is not NAME=JSON")


def test_values_written_to_the_output_file_are_stored_in_order_before_the_verdict():
    play = Play(a=job(stores="d e"), b=job(fetches="d"))
    play.exits("a", values={"d": "1", "e": "2"})
    assert play.statuses == {"a": "completed", "b": "pending"}
    assert play.node.data[play.keys["d"]].revision == 1


def test_values_written_to_the_output_file_count_only_with_exit_zero():
    play = Play(a=job(stores="d"))
    play.exits("a", 1, values={"d": "1"})
    assert play.node.data[play.keys["d"]].revision == 0


# Lost, and never started


def test_an_attempt_of_which_nobody_knows_the_end_has_failed():
    play = Play(a=job(), b=job(after="a"))
    play.starts("a")
    began = play.job("a").state.started_at
    play.is_lost("a")
    assert play.statuses == {"a": "failed", "b": "canceled"}
    assert play.why("a") == ("lost", "nobody knows")
    assert the_end(play).started_at == began
    assert the_end(play).return_code is None


def test_an_attempt_can_be_lost_before_its_start_was_heard_of():
    play = Play(a=job())
    play.is_lost("a")
    assert play.why("a")[0] == "lost"
    assert the_end(play).started_at is None


def test_an_attempt_that_cannot_be_started_has_failed_with_the_problem():
    play = Play(a=job(), b=job(after="a"))
    play.does_not_start("a", "no such program: x")
    assert play.statuses == {"a": "failed", "b": "canceled"}
    assert play.why("a") == ("start_failed", "no such program: x")
    assert the_end(play).started_at is None


# The workflow


@pytest.mark.parametrize(
    ("codes", "status"), [((0, 0), "completed"), ((0, 1), "failed"), ((1, 0), "failed")]
)
def test_a_workflow_is_over_when_the_last_job_has_ended(codes, status):
    play = Play(a=job(), b=job())
    play.exits("a", codes[0])
    assert play.workflow_status == "running"
    play.exits("b", codes[1])
    assert play.workflow_status == status
    [saved] = [c for c in play.last if isinstance(c, SaveWorkflow)]
    assert saved.status.value == status
    assert saved.ended_at == play.node.ended_at is not None


def test_a_paused_workflow_is_over_when_nothing_is_left():
    play = Play(a=job())
    play.starts("a")
    play.pause()
    play.exits("a")
    assert play.workflow_status == "completed"


def test_a_workflow_with_jobs_canceled_one_by_one_has_failed():
    play = Play(a=job(), b=job(after="a"))
    play.cancel("b")
    play.exits("a")
    assert play.workflow_status == "failed"


def test_a_workflow_of_disabled_and_completed_jobs_has_completed():
    play = Play(a=job(), b=job(after="a"))
    play.disable("b")
    play.exits("a")
    assert play.workflow_status == "completed"
    assert play.statuses == {"a": "completed", "b": "disabled"}


def test_a_workflow_that_is_over_can_be_forgotten_and_one_that_is_not_cannot():
    play = Play(a=job())
    play.scheduler.forget(play.workflow.key)
    assert play.workflow.key in play.scheduler.workflows
    play.exits("a")
    play.scheduler.forget(play.workflow.key)
    assert play.workflow.key not in play.scheduler.workflows


RAN_OUT = "the kernel killed it, or a process of it, because memory ran out"


@pytest.mark.parametrize(
    ("code", "how"), [(-9, "killed by SIGKILL"), (137, "exited with status 137")]
)
def test_one_that_the_kernel_killed_for_want_of_memory_says_so(code, how):
    play = Play(a=job())
    play.exits("a", code, ran_out_of_memory=True)
    assert play.why("a") == ("oom", f"{how}: {RAN_OUT}")


def test_one_that_ends_well_though_a_process_of_it_was_killed_has_ended_well():
    play = Play(a=job())
    play.exits("a", ran_out_of_memory=True)
    assert play.status("a") == "completed"
