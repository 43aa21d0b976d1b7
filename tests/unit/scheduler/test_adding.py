"""Jobs that a running job adds, and those that it does not add again."""

from typing import Any

import pytest
from msgspec.structs import replace

from torcd.errors import Denied, WrongState
from torcd.model import Added, FailureRule, Happening, JobStatus
from torcd.scheduler import events as e
from torcd.scheduler.commands import EditWorkflow, StartAttempt

from .play import refused
from .specs import JobSpec, job
from .test_editing import Edits


class Adds(Edits):
    """`adds` says what a job adds beside what there is; `ends` that it has ended well, and what
    it has not added again."""

    def __init__(self, **more: Any) -> None:
        self.specs: dict[str, JobSpec] = {
            name: one for name, one in more.items() if isinstance(one, JobSpec)
        }
        self.fields = {k: v for k, v in more.items() if k in ("initial", "handlers")}
        self.commands: dict[str, str] = {}
        super().__init__(**more)

    def adding(self, adder: str, **jobs: JobSpec) -> e.EditRequested:
        return self._by(adder, {**self.specs, **jobs}, set(jobs))

    def adds(self, adder: str, **jobs: JobSpec) -> list[Any]:
        commands = self.tell(self.adding(adder, **jobs))
        self._became({**self.specs, **jobs})
        return commands

    def ends(self, adder: str, *, gone: str = "", kept: str = "", **more: Any) -> list[Any]:
        """`kept`: the withdrawal is refused, and these stay."""
        left = {name: one for name, one in self.specs.items() if name not in gone.split()}
        event = self._by(adder, left, set()) if gone else None
        exited = replace(self.exit_event(adder, **more), withdrawal=event)
        commands = self.tell(exited)
        if gone and not kept:
            self._became(left)
        return commands

    def _by(self, adder: str, jobs: dict[str, JobSpec], said: set[str]) -> e.EditRequested:
        event = self.event(commands=self.commands, **self.fields, **jobs)
        node = self.job(adder)
        added = Added(by=node.job.key, run_id=node.run_id, attempt_id=node.attempt_id)
        before = {one.name: one.added for one in self.workflow.jobs}
        all_jobs = tuple(
            replace(one, added=added if one.name in said else before.get(one.name))
            for one in self.after.jobs
        )
        self.after = replace(self.after, jobs=all_jobs)
        return replace(event, workflow=self.after, attempt_key=self.attempt(adder))

    def _became(self, jobs: dict[str, JobSpec]) -> None:
        self.specs = jobs
        self.workflow, self.given = self.after, self.given_after
        items = (*self.after.jobs, *self.after.files, *self.after.user_data)
        self.keys = {item.name: item.key for item in items}

    def edited(self) -> list[str | None]:
        found = [h for h in self.last if isinstance(h, Happening) and h.kind == "workflow_edited"]
        return [one.message for one in found]


COLLECTOR = job(after="a b c")


def added_once() -> Adds:
    """`a` has added `b` and `c`, and all has completed in run 1; `d` collects."""
    play = Adds(a=job(reads="in"), d=job(after="a"))
    play.starts("a")
    play.specs["d"] = COLLECTOR
    play.adds("a", b=job(), c=job(after="a"))
    play.ends("a", code=0)
    for name in ("b", "c", "d"):
        play.exits(name)
    assert play.workflow_status == "completed"
    return play


def again(play: Adds) -> None:
    play.restart(files={"in": "2"})
    play.starts("a")


def test_what_is_added_starts_when_its_inputs_are_there_and_a_collector_waits_for_it():
    play = Adds(a=job(), d=job(after="a"))
    play.starts("a")
    play.specs["d"] = COLLECTOR
    play.adds("a", b=job(), c=job(after="a"))
    assert play.statuses == {"a": "running", "d": "blocked", "b": "pending", "c": "blocked"}
    assert play.edited() == ['by "a": jobs: 2 added, 1 changed']
    play.ends("a")
    assert play.statuses == {"a": "completed", "d": "blocked", "b": "pending", "c": "pending"}
    play.exits("b")
    play.exits("c")
    assert play.statuses["d"] == "pending"
    assert play.job("b").adder is play.job("a")


def test_to_say_the_same_again_changes_nothing():
    play = Adds(a=job())
    play.starts("a")
    play.adds("a", b=job())
    play.changes_nothing(play.adding("a", b=job()))


def test_several_calls_of_an_attempt_add_up():
    play = Adds(a=job())
    play.starts("a")
    play.adds("a", b=job())
    play.adds("a", c=job(after="b"))
    play.ends("a")
    assert play.statuses == {"a": "completed", "b": "pending", "c": "blocked"}


@pytest.mark.parametrize(("made", "outlook"), [("1", "up_to_date"), ("2", "will_run")])
def test_who_had_read_what_is_only_now_made_has_ended_and_runs_the_next_time_if_it_is_another(
    made: str, outlook: str
):
    play = Adds(a=job(), b=job(reads="f"))
    play.exits("b", files={"f": "1"})
    play.starts("a")
    play.adds("a", c=job(writes="f"))
    play.ends("a")
    play.exits("c", files={"f": made})
    assert play.statuses == {"a": "completed", "b": "completed", "c": "completed"}
    assert play.outlooks(files={"f": made})["b"][0] == outlook


def test_one_that_comes_after_an_adder_has_seen_its_end_whatever_goes_with_that():
    play = Adds(z=job(), a=job(after="z"), d=job(after="a"))
    play.starts("z")
    play._time -= 999_000
    play.exits("z")  # after a millisecond, so others follow
    play.starts("a")
    play.adds("a", b=job(after="a"))
    play.exits("a", 1)
    play.does_not_start("d")
    play.retry("a")
    assert play.statuses["d"] == "pending"
    play.starts("a")
    play.ends("a", gone="b")
    play.starts("d")
    play.exits("d")
    assert play.outlooks()["d"] == ("up_to_date", "nothing that it needs has changed")


def test_an_attempt_that_is_over_adds_nothing():
    play = Adds(a=job(), d=job())
    play.starts("a")
    event = play.adding("a", b=job())
    play.exits("a")
    with refused(Denied, "only while it runs"):
        play.tell(event)


def test_a_job_on_its_way_out_adds_nothing():
    play = Adds(a=job(), d=job())
    play.starts("a")
    play.cancel("a")
    with refused(WrongState, "on its way out"):
        play.adds("a", b=job())


def test_a_recovery_script_adds_nothing():
    rule = FailureRule(exit_codes=(1,), recovery_script="mend")
    play = Adds(a=job(handler="h"), d=job(), handlers={"h": [rule]})
    play.starts("a")
    play.exits("a", 1)
    play.starts("a")
    with refused(Denied, "recovery script"):
        play.adds("a", b=job())


def test_nothing_is_added_before_what_runs():
    play = Adds(a=job(), d=job())
    play.starts("a")
    play.starts("d")
    play.specs["d"] = job(after="b")
    with refused(WrongState, '"d" runs, and cannot be changed'):
        play.adds("a", b=job())


def test_when_the_adder_is_to_run_again_what_it_had_added_waits_for_it():
    play = added_once()
    again(play)
    assert play.statuses == {"a": "running", "d": "blocked", "b": "blocked", "c": "blocked"}
    assert play.job("b").held


def test_what_is_added_again_as_it_was_is_spared():
    play = added_once()
    again(play)
    play.adds("a", b=job(), c=job(after="a"))
    assert (play.statuses["b"], play.statuses["c"]) == ("completed", "blocked")
    play.ends("a")
    assert play.statuses["c"] == "pending"  # a job without outputs has always made something else
    assert play.started_now == ["c"]


def test_what_is_added_again_as_another_one_runs():
    play = added_once()
    again(play)
    play.commands = {"b": "false"}
    play.adds("a", b=job(), c=job(after="a"))
    assert play.started_now == ["b"]


def test_what_is_not_added_again_is_removed_when_the_adder_has_ended_well():
    play = added_once()
    again(play)
    play.specs["d"] = COLLECTOR
    play.adds("a", b=job())
    play.specs["d"] = job(after="a b")
    play.ends("a", gone="c")
    assert play.statuses == {"a": "completed", "d": "pending", "b": "completed"}
    assert play.edited() == ['by "a": jobs: 1 removed, 1 changed']
    [record] = [c for c in play.last if isinstance(c, EditWorkflow)]
    assert len(record.removed_jobs) == 1


def test_nothing_is_removed_by_an_end_that_turns_out_to_be_bad():
    play = added_once()
    again(play)
    play.specs["d"] = job(after="a b")
    play.ends("a", gone="c", kept="c", problem="TORC_OUTPUT cannot be read")
    assert play.edited() == []
    assert play.job("c").job.name == "c"


def test_what_others_still_need_is_not_removed():
    play = Adds(a=job(reads="in"), e=job(after="a", reads="f"))
    play.starts("a")
    play.adds("a", b=job(writes="f"))
    play.ends("a")
    play.exits("b", files={"f": "1"})
    play.exits("e")
    again(play)
    event = play._by("a", {k: v for k, v in play.specs.items() if k != "b"}, set())
    absent = {**event.files, play.keys["f"]: None}
    exited = replace(play.exit_event("a"), withdrawal=replace(event, files=absent))
    play.tell(exited)
    [message] = play.edited()
    assert message is not None
    assert "nothing was removed" in message
    assert play.job("b").state.status is JobStatus.COMPLETED  # let go, and up to date


def test_an_adder_that_fails_takes_what_it_had_added_earlier_with_it_and_not_what_it_added_now():
    play = added_once()
    again(play)
    play.commands = {"b": "false"}
    play.adds("a", b=job())
    play.exits("a", 1)
    assert play.statuses == {"a": "failed", "d": "canceled", "b": "pending", "c": "canceled"}
    assert play.why("c") == (
        "dependency", 'canceled because "a", which had added it, failed and did not again',
    )  # fmt: skip


def test_with_the_adder_that_is_retried_those_are_revived_that_were_canceled_with_it():
    play = added_once()
    again(play)
    play.exits("a", 1)
    play.retry("a")
    assert play.statuses == {"a": "pending", "d": "blocked", "b": "blocked", "c": "blocked"}
    play.starts("a")
    play.adds("a", b=job(), c=job(after="a"))
    assert play.statuses["b"] == "pending"  # as whatever was canceled


def test_a_retry_waits_to_hear_what_is_added_again():
    rule = FailureRule(exit_codes=(1,))
    play = Adds(a=job(handler="h"), handlers={"h": [rule]})
    play.starts("a")
    play.adds("a", b=job(after="a", goes_on=True), c=job())
    assert play.statuses["c"] == "pending"
    play.exits("a", 1)
    assert play.statuses["b"] == "blocked"
    assert play.status("a") == "pending"
    assert play.job("b").held
    play.starts("a")
    play.adds("a", b=job(after="a", goes_on=True))
    assert not play.job("b").held


def test_what_runs_is_not_touched_when_its_adder_is_tried_again():
    rule = FailureRule(exit_codes=(1,))
    play = Adds(a=job(handler="h"), handlers={"h": [rule]})
    play.starts("a")
    play.adds("a", b=job())
    play.starts("b")
    play.exits("a", 1)
    play.starts("a")
    assert play.statuses == {"a": "running", "b": "running"}
    play.commands = {"b": "false"}
    with refused(WrongState, '"b" runs, and cannot be changed'):
        play.adds("a", b=job())
    play.commands = {}
    play.exits("b")
    trace = play.job("b").trace
    assert trace is not None
    assert trace.given is not None


def test_what_comes_after_another_takes_its_place_also_when_its_adder_was_in_the_way():
    rule = FailureRule(exit_codes=(1,))
    play = Adds(a=job(handler="h"), z=job(), handlers={"h": [rule]})
    play.starts("a")
    play.starts("z")
    play.exits("z")
    play.adds("a", b=job(), c=job(after="b"))
    assert (play.status("c"), play.node.following) == ("pending", 1)
    play.starts("b")
    play.exits("a", 1)
    play.exits("b")
    play.starts("a")
    play.ends("a")
    assert (play.status("c"), play.node.following) == ("pending", 0)


def test_an_adder_that_need_not_run_leaves_all_as_it_was():
    play = Adds(x=job(reads="in", writes="f"), a=job(reads="f"))
    play.exits("x", files={"in": "1", "f": "same"})
    play.starts("a")
    play.adds("a", b=job(writes="g"))
    play.ends("a")
    play.exits("b", files={"g": "1"})
    play.restart(files={"in": "2"})
    assert play.statuses == {"x": "pending", "a": "blocked", "b": "blocked"}
    play.exits("x", files={"f": "same"})
    assert play.workflow_status == "completed"
    assert play.statuses == {"x": "completed", "a": "completed", "b": "completed"}


def test_an_attempt_that_is_taken_back_holds_nothing():
    rule = FailureRule(exit_codes=(1,))
    play = Adds(a=job(handler="h"), parallel=2, handlers={"h": [rule]})
    play.starts("a")
    play.adds("a", b=job())
    assert play.statuses["b"] == "pending"
    play.exits("a", 1)
    assert play.statuses["a"] == "pending"
    play.pause()
    play.does_not_start("b")
    assert play.statuses["b"] == "blocked"  # held, since a is about to start
    play.does_not_start("a")
    assert play.statuses == {"a": "ready", "b": "ready"}


def test_only_the_adder_is_in_the_way_of_what_it_added_and_nothing_that_is_added_starts_twice():
    play = added_once()
    again(play)
    play.adds("a", b=job(), c=job(after="a"))
    play.ends("a")
    play.exits("c")
    play.exits("d")
    starts = [c.job.name for c in play.history if isinstance(c, StartAttempt)]
    assert sorted(starts) == ["a", "a", "b", "c", "c", "d", "d"]
    assert play.restart() == []
