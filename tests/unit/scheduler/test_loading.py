"""Loading is resuming: from what was saved, the scheduler goes on where it was."""

import msgspec
import pytest

from torcd.model import Capacity, Happening, JobStatus, Reason, WorkflowStatus
from torcd.scheduler import Scheduler
from torcd.scheduler import events as e
from torcd.scheduler.building import AS_SUBMITTED
from torcd.scheduler.commands import RevokeAttempt, StartAttempt, StopAttempt, WatchFile
from torcd.scheduler.sharing import BOUNDLESS, Holding, Share

from .play import Play, snapshot
from .specs import job, workflow


class Loaded(Play):
    """A play that begins with what was saved of it. `saved`: what is not as submitted."""

    def __init__(self, jobs, saved, *, on_store="", absent="", stored=None, **more):
        self.scheduler = Scheduler(
            next_key=100,
            next_attempt_key=50,
            next_happening=500,
            capacity=more.pop("capacity", BOUNDLESS),
            is_loading=more.pop("is_loading", False),
        )
        self.workflow = workflow(jobs, on_store=on_store)
        self.keys = {
            item.name: item.key
            for item in (*self.workflow.jobs, *self.workflow.files, *self.workflow.user_data)
        }
        self.history = []
        self._time = 10_000_000
        replace = msgspec.structs.replace
        stored = {
            self.keys[name]: frozenset(self.keys[by] for by in makers.split())
            for name, makers in (stored or {}).items()
        }
        self.event = e.WorkflowLoaded(
            workflow=self.workflow,
            status=more.pop("status", WorkflowStatus.RUNNING),
            stopping=more.pop("stopping", False),
            run_id=3,
            max_parallel_jobs=more.pop("parallel", 100),
            wait_for_inputs=bool(absent),
            started_at=1,
            ended_at=more.pop("ended_at", None),
            frozen_since=more.pop("frozen_since", None),
            jobs=tuple(replace(AS_SUBMITTED, **saved.get(name, {})) for name in jobs),
            values=dict.fromkeys(stored, e.LoadedValue(revision=1, sha256="a value's")),
            stored_in_run=stored,
            absent_files=frozenset(self.keys[name] for name in absent.split()),
            at=self.now,
        )
        assert not more
        self.tell(self.event)


COMPLETED = {"status": JobStatus.COMPLETED, "return_code": 0, "attempt_id": 1, "ended_at": 5}
FAILED = {
    "status": JobStatus.FAILED,
    "reason": Reason.EXIT,
    "message": "exited with status 1",
    "return_code": 1,
    "attempt_id": 1,
    "started_at": 4,
    "ended_at": 5,
}
DISABLED = {"status": JobStatus.DISABLED}


def active(key, **more):
    return {"attempt_key": key, "attempt_id": 1, **more}


def stopped(key, reason):
    return active(key, status=JobStatus.PENDING, stopping=True, reason=reason, message="because")


def test_ready_and_blocked_are_worked_out_from_what_has_ended():
    play = Loaded(
        {
            "a": job(),
            "b": job(after="a"),
            "c": job(after="b"),
            "d": job(after="off"),
            "off": job(),
            "bad": job(),
            "x": job(after="bad a", goes_on=True),
        },
        {"a": COMPLETED, "off": DISABLED, "bad": FAILED},
        parallel=1,
    )
    assert play.statuses == {
        "a": "completed",
        "b": "pending",
        "c": "blocked",
        "d": "ready",
        "off": "disabled",
        "bad": "failed",
        "x": "ready",
    }
    assert play.attempt("b") == 50
    assert play.why("bad") == ("exit", "exited with status 1")
    assert next(c for c in play.last if isinstance(c, Happening)).number == 500


def test_every_active_attempt_is_repeated_and_none_is_chosen_in_its_place():
    play = Loaded(
        {"a": job(), "b": job(), "c": job()}, {"a": active(7), "b": active(9)}, parallel=2
    )
    assert [(c.attempt_key, c.job.name, c.run_id, c.attempt_id) for c in play.actions] == [
        (7, "a", 3, 1),
        (9, "b", 3, 1),
    ]
    assert play.statuses == {"a": "pending", "b": "pending", "c": "ready"}
    play.starts("a")
    play.exits("b")
    assert play.statuses == {"a": "running", "b": "completed", "c": "pending"}


TWO_GPUS = Capacity(cpus=4, memory_bytes=1000, gpus=2)


def test_what_runs_has_its_share_and_its_gpus_again():
    play = Loaded(
        {"a": job(num_gpus=1, num_cpus=3), "b": job(num_gpus=1), "c": job(num_gpus=1)},
        {"a": active(7, gpus=(1,))},
        capacity=TWO_GPUS,
    )
    assert [(c.job.name, c.gpus) for c in play.actions] == [("a", (1,)), ("b", (0,))]
    assert play.status("c") == "ready"
    play.exits("a")
    assert [(c.job.name, c.gpus) for c in play.actions] == [("c", (1,))]


def test_nothing_that_asks_is_started_before_all_is_loaded():
    play = Loaded(
        {"a": job(num_cpus=1), "b": job()}, {}, capacity=TWO_GPUS, is_loading=True, parallel=1
    )
    assert play.started_now == []
    play.tell(e.LoadingEnded(play.now))
    assert play.started_now == ["a"]


def test_a_machine_that_became_smaller_starts_nothing_until_there_is_room_again():
    play = Loaded(
        {"a": job(num_cpus=3, num_gpus=3), "b": job(num_cpus=1), "c": job(num_cpus=1)},
        {"a": active(7, gpus=(0, 2)), "b": active(8)},
        capacity=Capacity(cpus=2, memory_bytes=1, gpus=1),
    )
    assert play.statuses == {"a": "pending", "b": "pending", "c": "ready"}
    ledger = play.scheduler._memory.ledger
    assert (ledger.cpus, ledger.held[7]) == (-1, Holding(Share(2, 0, 1), (0, 2)))
    play.exits("b")
    assert play.status("c") == "ready"
    play.exits("a")
    assert play.status("c") == "pending"
    assert ledger.free_gpus == [0]


def test_a_stop_is_repeated_after_the_start_and_stands():
    play = Loaded({"a": job(supports_termination=True)}, {"a": stopped(7, Reason.CANCELED)})
    assert [type(c) for c in play.actions] == [StartAttempt, StopAttempt]
    assert play.actions[1] == StopAttempt(attempt_key=7, supports_termination=True)
    play.exits("a")
    assert play.why("a") == ("canceled", "because")


def test_one_that_was_asked_back_because_of_a_dependency_is_asked_back_again():
    play = Loaded(
        {"a": job(stores="d"), "b": job(fetches="d")},
        {"a": FAILED, "b": stopped(7, Reason.DEPENDENCY)},
        on_store="d",
        stored={"d": "a"},
    )
    assert [type(c) for c in play.actions] == [StartAttempt, RevokeAttempt]
    play.starts("b")
    assert (play.status("b"), play.job("b").is_stopping) == ("running", False)


def test_in_a_paused_workflow_what_has_not_started_is_asked_back_again():
    play = Loaded({"a": job(), "b": job()}, {"a": active(7)}, status=WorkflowStatus.PAUSED)
    assert [type(c) for c in play.actions] == [StartAttempt, RevokeAttempt]
    play.does_not_start("a")
    assert play.statuses == {"a": "ready", "b": "ready"}
    play.resume()
    assert play.started_now == ["a", "b"]


def test_a_workflow_on_its_way_out_goes_on_going_out():
    play = Loaded(
        {"a": job(), "b": job()}, {"a": stopped(7, Reason.CANCELED), "b": COMPLETED}, stopping=True
    )
    assert (play.workflow_status, play.node.stopping) == ("running", True)
    play.exits("a", -9)
    assert play.workflow_status == "canceled"


def test_what_was_stored_early_stays_stored():
    play = Loaded(
        {"a": job(stores="d"), "b": job(stores="d"), "c": job(fetches="d")},
        {"a": active(7), "b": active(8)},
        on_store="d",
        stored={"d": "a"},
    )
    assert play.status("c") == "blocked"
    play.stores("d", by="b")
    assert play.status("c") == "pending"


def test_what_was_stored_early_does_not_count_twice():
    play = Loaded(
        {"a": job(stores="d"), "b": job(stores="d"), "c": job(fetches="d")},
        {"a": active(7), "b": active(8)},
        on_store="d",
        stored={"d": "a"},
    )
    play.stores("d", by="a")
    play.exits("a")
    assert play.status("c") == "blocked"


def test_what_was_stored_in_this_run_is_no_missing_output():
    jobs = {"a": job(stores="d")}
    play = Loaded(jobs, {"a": active(7)}, stored={"d": ""})
    play.exits("a")
    assert play.status("a") == "completed"
    play = Loaded(jobs, {"a": active(7)})
    play.exits("a")
    assert play.why("a")[0] == "missing_output"


def test_inputs_that_are_still_absent_are_watched_again():
    play = Loaded({"a": job(reads="f"), "b": job(reads="g"), "c": job(fetches="d")}, {}, absent="f")
    assert play.statuses == {"a": "blocked", "b": "pending", "c": "blocked"}
    assert [w.path for w in play.actions if isinstance(w, WatchFile)] == ["/f"]
    play.appears("f")
    play.stores("d")
    assert set(play.statuses.values()) == {"pending"}


def test_a_file_that_vanished_is_not_waited_for_unless_it_was_asked_for():
    event = Loaded({"a": job(reads="f")}, {}).event
    scheduler = Scheduler(next_key=100)
    event = msgspec.structs.replace(
        event, absent_files=frozenset(f.key for f in event.workflow.files)
    )
    scheduler.handle(event)
    assert scheduler.workflows[1].counts[JobStatus.PENDING] == 1


def test_loading_what_is_there_already_changes_nothing():
    play = Loaded({"a": job(), "b": job()}, {"a": active(7)})
    picture = snapshot(play.scheduler)
    assert play.scheduler.handle(play.event) == []
    assert snapshot(play.scheduler) == picture


@pytest.mark.parametrize(
    ("status", "jobs"),
    [(WorkflowStatus.COMPLETED, COMPLETED), (WorkflowStatus.FAILED, FAILED)],
)
def test_a_workflow_that_is_over_is_loaded_without_a_word(status, jobs):
    play = Loaded({"a": job(stores="d")}, {"a": jobs}, status=status, ended_at=9)
    assert play.last == []
    play.stores("d")
    assert play.workflow_status == status.value


def test_a_job_of_which_nothing_is_saved_is_built_as_if_just_that_was_saved():
    loaded = Loaded({"a": job(), "b": job(after="a")}, {})  # with records that say it
    event = msgspec.structs.replace(loaded.event, jobs=(AS_SUBMITTED,) * 2)
    short = Scheduler(next_key=100, next_attempt_key=50, next_happening=500)
    assert short.handle(event) == loaded.history
    built, as_saved = (
        [(one.state, one.waits, one.run_id, one.attempt_id) for one in node.jobs.values()]
        for node in (short.workflows[loaded.workflow.key], loaded.node)
    )
    assert built == as_saved
    assert [run_id for _, _, run_id, _ in built] == [3, 3]
