"""Another spec for a workflow there is."""

from typing import Any

import pytest
from msgspec.structs import replace

from torcd.errors import MissingInputs, WrongState
from torcd.model import Capacity, FailureRule, Happening, JobStatus, SpecChange, Workflow
from torcd.scheduler import events as e
from torcd.scheduler.commands import (
    EditWorkflow,
    SaveFile,
    SaveValue,
    SaveWorkflow,
    StartAttempt,
)

from .play import Play, refused
from .specs import ActionSpec, JobSpec, job, parsed, workflow


class Edits(Play):
    """`edit` takes the whole new spec; names that are known keep their keys."""

    def event(
        self,
        *,
        initial: str = "",
        values: dict[str, str] | None = None,
        files: dict[str, str | None] | None = None,
        commands: dict[str, str] | None = None,
        paths: dict[str, str] | None = None,
        **more: Any,
    ) -> e.EditRequested:
        fields = {name: more.pop(name) for name in _FIELDS if name in more}
        fresh = workflow(more, first_key=self.scheduler.next_key, initial=initial, **fields)
        after = self._rekeyed(fresh)
        jobs = tuple(
            replace(one, command=(commands or {}).get(one.name, one.command)) for one in after.jobs
        )
        moved = tuple(
            replace(one, path=(paths or {}).get(one.name, one.path)) for one in after.files
        )
        after = replace(after, jobs=jobs, files=moved)
        self.after = after
        given = {d.key: parsed((values or {}).get(d.name, "0")) for d in after.user_data if d.data}
        before = {d.key: parsed(self.given.get(d.name, "0")) for d in self.workflow.user_data}
        keys = {file.name: file.key for file in after.files}
        self.given_after = {d.name: (values or {}).get(d.name, "0") for d in after.user_data}
        return e.EditRequested(
            workflow_key=after.key,
            workflow=after,
            values_before={
                d.key: before[d.key].sha256 for d in self.workflow.user_data if d.data is not None
            },
            values=given,
            files={keys[n]: s for n, s in self._named_states(files or {}, keys).items()},
            at=self.now,
        )

    given: dict[str, str] = {}

    def edit(self, **more: Any) -> list[Any]:
        commands = self.tell(self.event(**more))
        self.workflow = self.after
        self.given = self.given_after
        items = (*self.after.jobs, *self.after.files, *self.after.user_data)
        self.keys = {item.name: item.key for item in items}
        return commands

    def verdicts(self, **more: Any) -> dict[str, tuple[str, str]]:
        found = self.scheduler.outlook(self.event(**more))
        return {
            found.node.jobs[key].job.name: (one.outlook, one.reason)
            for key, one in found.verdicts.items()
        }

    def _named_states(self, files: dict[str, str | None], keys: dict[str, Any]) -> dict[str, Any]:
        saved, self.keys = self.keys, {**self.keys, **keys}
        try:
            return {name: self._states({name: text})[keys[name]] for name, text in files.items()}
        finally:
            self.keys = saved

    def _rekeyed(self, fresh: Workflow) -> Workflow:
        of: dict[int, int] = {}
        next_key = self.scheduler.next_key
        for item in (*fresh.jobs, *fresh.files, *fresh.user_data):
            if item.name in self.keys:
                of[item.key] = self.keys[item.name]
            else:
                of[item.key] = next_key
                next_key += 1

        def keys(named: tuple[int, ...]) -> tuple[Any, ...]:
            return tuple(of[key] for key in named)

        jobs = [
            replace(
                one,
                key=of[one.key],
                depends_on=keys(one.depends_on),
                input_files=keys(one.input_files),
                output_files=keys(one.output_files),
                input_user_data=keys(one.input_user_data),
                output_user_data=keys(one.output_user_data),
            )
            for one in fresh.jobs
        ]
        return replace(
            fresh,
            key=self.workflow.key,
            jobs=tuple(sorted(jobs, key=lambda one: one.key)),
            files=tuple(
                sorted((replace(f, key=of[f.key]) for f in fresh.files), key=lambda one: one.key)
            ),
            user_data=tuple(
                sorted(
                    (replace(d, key=of[d.key]) for d in fresh.user_data), key=lambda one: one.key
                )
            ),
            actions=tuple(replace(one, jobs=keys(one.jobs)) for one in fresh.actions),
        )


_FIELDS = ("on_store", "ephemeral", "actions", "sort", "handlers")


def chain() -> tuple[Edits, dict[str, JobSpec]]:
    """in -> a -> f -> b, c apart; all completed."""
    jobs = {"a": job(reads="in", writes="f"), "b": job(reads="f"), "c": job()}
    play = Edits(**jobs)
    play.exits("a", files={"in": "1", "f": "made of 1"})
    play.exits("b")
    play.exits("c")
    assert play.workflow_status == "completed"
    return play, jobs


def test_the_same_spec_changes_nothing():
    play, jobs = chain()
    play.changes_nothing(play.event(files={"in": "2"}, **jobs))


def test_another_command_of_a_completed_job_runs_it_and_what_comes_after_and_nothing_else():
    play, jobs = chain()
    verdicts = play.verdicts(commands={"a": "false"}, **jobs)
    assert verdicts == {
        "a": ("will_run", "its command or what it is to make has changed"),
        "b": ("may_run", '"a", which comes before it, will run again'),
        "c": ("up_to_date", "nothing that it needs has changed"),
    }
    play.edit(commands={"a": "false"}, **jobs)
    assert play.statuses == {"a": "pending", "b": "blocked", "c": "completed"}
    assert play.node.run_id == 2
    [started] = [c for c in play.last if isinstance(c, StartAttempt)]
    assert started.job.command == "false"
    [record] = [c for c in play.last if isinstance(c, EditWorkflow)]
    assert [one.name for one in record.jobs] == ["a"]
    assert (record.files, record.user_data, record.removed_jobs) == ((), (), ())
    play.exits("a", files={"f": "made of 1"})
    assert play.workflow_status == "completed"  # b need not run
    assert play.job("b").run_id == 1
    play.changes_nothing(play.event(commands={"a": "false"}, **jobs))
    assert play.restart() == []


def test_what_makes_nothing_run_again_is_changed_and_nothing_runs():
    play, jobs = chain()
    play.edit(**{**jobs, "a": job(reads="in", writes="f", priority=7)})
    assert play.node.run_id == 1
    assert play.workflow_status == "completed"
    assert play.job("a").job.priority == 7
    [record] = [c for c in play.last if isinstance(c, EditWorkflow)]
    assert [one.priority for one in record.jobs] == [7]
    [told] = [h for h in play.last if isinstance(h, Happening)]
    assert (told.kind, told.message) == ("workflow_edited", "jobs: 1 changed")


def test_with_an_edit_all_that_is_out_of_date_runs():
    play, jobs = chain()
    play.edit(files={"in": "2"}, d=job(), **jobs)
    assert play.statuses == {"a": "pending", "b": "blocked", "c": "completed", "d": "pending"}


def test_a_new_job_has_a_new_key_and_runs_in_a_new_run():
    play, jobs = chain()
    highest = play.scheduler.next_key
    assert play.verdicts(d=job(after="b"), **jobs)["d"] == ("will_run", "it is new")
    play.edit(d=job(after="b"), **jobs)
    assert play.keys["d"] == highest
    assert play.scheduler.next_key == highest + 1
    assert play.statuses == {"a": "completed", "b": "completed", "c": "completed", "d": "pending"}


def test_a_job_that_is_renamed_is_another_one():
    play, jobs = chain()
    old = play.keys["b"]
    play.edit(a=jobs["a"], renamed=jobs["b"], c=jobs["c"])
    assert play.keys["renamed"] != old
    assert play.statuses["renamed"] == "pending"
    [record] = [c for c in play.last if isinstance(c, EditWorkflow)]
    assert record.removed_jobs == (old,)


def test_a_workflow_that_failed_because_of_a_job_that_is_gone_has_completed():
    play = Edits(a=job(), b=job())
    play.exits("a", 1)
    play.exits("b")
    assert play.workflow_status == "failed"
    play.edit(b=job())
    assert play.workflow_status == "completed"
    [saved] = [c for c in play.last if isinstance(c, SaveWorkflow)]
    assert (saved.status.value, saved.run_id) == ("completed", 1)


def test_what_nobody_makes_any_more_must_be_there():
    play, jobs = chain()
    with refused(MissingInputs, "f"):
        play.edit(files={"f": None}, b=jobs["b"], c=job(priority=1))
    play.edit(files={"f": "made of 1"}, b=jobs["b"], c=jobs["c"])
    assert play.statuses == {"b": "completed", "c": "completed"}  # it reads what it had read
    assert play.node.run_id == 1


def test_a_file_that_its_job_had_made_and_nobody_makes_any_more_is_read_again_when_it_changes():
    play, jobs = chain()
    verdicts = play.verdicts(files={"f": "another"}, b=jobs["b"], c=jobs["c"])
    assert verdicts["b"] == ("will_run", 'file "f" (/f) has changed')


@pytest.mark.parametrize(("made", "then"), [("1", "completed"), ("2", "pending")])
def test_a_new_job_makes_what_was_there_before_and_who_reads_it_runs_if_it_is_another(
    made: str, then: str
):
    play = Edits(b=job(reads="f"))
    play.exits("b", files={"f": "1"})
    jobs = {"a": job(writes="f"), "b": job(reads="f")}
    assert play.verdicts(files={"f": "1"}, **jobs) == {
        "a": ("will_run", "it is new"),
        "b": ("may_run", '"a", which comes before it, will run again'),
    }
    play.edit(files={"f": "1"}, **jobs)
    play.exits("a", files={"f": made})
    assert play.statuses == {"a": "completed", "b": then}


def test_an_input_that_changes_with_who_makes_another_runs_its_reader_whatever_that_makes():
    play = Edits(b=job(reads="f g"))
    play.exits("b", files={"f": "1", "g": "1"})
    jobs = {"a": job(writes="f"), "b": job(reads="f g")}
    verdicts = play.verdicts(files={"f": "1", "g": "2"}, **jobs)
    assert verdicts["b"] == ("will_run", 'file "g" (/g) has changed')


def test_a_file_that_is_elsewhere_is_another_file():
    play, jobs = chain()
    play.edit(files={"in": "2", "f": "made of 1"}, paths={"in": "/other"}, **jobs)
    assert [c.state and c.state.sha256 for c in play.last if isinstance(c, SaveFile)] == [None, "2"]
    assert play.statuses["a"] == "pending"


def test_an_initial_value_that_is_another_one_is_stored_and_read():
    play = Edits(a=job(fetches="d"), b=job(), initial="d")
    play.exits("a")
    play.exits("b")
    jobs = {"a": job(fetches="d"), "b": job()}
    play.changes_nothing(play.event(initial="d", **jobs))
    assert play.verdicts(initial="d", values={"d": "7"}, **jobs) == {
        "a": ("will_run", 'user_data "d" has another value'),
        "b": ("up_to_date", "nothing that it needs has changed"),
    }
    play.edit(initial="d", values={"d": "7"}, **jobs)
    [saved] = [c for c in play.last if isinstance(c, SaveValue)]
    assert (saved.revision, saved.run_id, saved.attempt_key) == (2, 0, None)
    assert saved.value.text == b"7"
    assert play.statuses == {"a": "pending", "b": "completed"}


def test_an_initial_value_that_somebody_has_stored_already_is_a_revision_and_no_change():
    play = Edits(a=job(fetches="d"), initial="d")
    play.stores("d", "7")
    play.exits("a")  # it may have read either
    play.restart()
    play.exits("a")
    play.edit(initial="d", values={"d": "7"}, a=job(fetches="d"))
    [saved] = [c for c in play.last if isinstance(c, SaveValue)]
    assert saved.revision == 3
    assert play.workflow_status == "completed"


def test_a_value_that_is_taken_out_of_the_spec_stays():
    play = Edits(a=job(fetches="d"), initial="d")
    play.exits("a")
    play.edit(a=job(fetches="d"))
    assert play.node.data[play.keys["d"]].revision == 1
    assert play.workflow_status == "completed"


def test_an_archived_workflow_is_not_changed():
    play, jobs = chain()
    play.tell(e.ArchiveRequested(workflow_key=play.workflow.key, archived=True, at=play.now))
    with refused(WrongState, "is archived"):
        play.edit(d=job(), **jobs)


# While it runs


def test_a_workflow_that_runs_is_added_to_in_the_same_run():
    play = Edits(a=job(writes="f"))
    play.starts("a")
    assert play.verdicts(a=job(writes="f"), b=job(reads="f"), c=job()) == {
        "b": ("will_run", "it is new"),
        "c": ("will_run", "it is new"),
    }
    play.edit(a=job(writes="f"), b=job(reads="f"), c=job())
    assert play.statuses == {"a": "running", "b": "blocked", "c": "pending"}
    assert play.started_now == ["c"]
    play.exits("a")
    assert play.statuses["b"] == "pending"
    play.exits("b")
    play.exits("c")
    assert (play.workflow_status, play.node.run_id) == ("completed", 1)


@pytest.mark.parametrize(
    ("after", "match"),
    [
        ({"b": job()}, 'job "a" runs, and cannot be removed'),
        ({"a": job(writes="f", priority=1)}, r'job "a" runs, and cannot be changed \(priority\)'),
        ({"a": job(after="b"), "b": job()}, r"cannot be changed \(depends_on, output_files\)"),
    ],
)
def test_what_runs_is_never_changed_under_it(after: dict[str, JobSpec], match: str):
    play = Edits(a=job(writes="f"), b=job(), parallel=1)
    play.starts("a")
    with refused(WrongState, match):
        play.edit(**{"c": job(), **after})


def test_a_file_of_a_job_that_runs_is_not_changed():
    play = Edits(a=job(reads="in"))
    play.starts("a")
    with refused(WrongState, 'job "a" runs, and uses file "in"'):
        play.edit(a=job(reads="in"), paths={"in": "/other"})


def test_what_is_about_to_start_is_not_changed_but_when_it_is_taken_back_by_a_pause():
    play = Edits(a=job())
    with refused(WrongState, "about to start.*torcctl pause"):
        play.edit(a=job(), commands={"a": "false"})
    play.pause()
    play.does_not_start("a")
    play.edit(a=job(), commands={"a": "false"})
    play.resume()
    [started] = [c for c in play.last if isinstance(c, StartAttempt)]
    assert started.job.command == "false"


def test_the_consumer_of_a_job_that_runs_is_removed():
    play = Edits(a=job(writes="f"), b=job(reads="f"), c=job(after="b"))
    play.starts("a")
    play.edit(a=job(writes="f"))
    assert play.statuses == {"a": "running"}
    play.exits("a")
    assert play.workflow_status == "completed"


def test_when_the_last_that_was_left_is_removed_the_workflow_is_over():
    play = Edits(a=job(), b=job(after="a"), wait=True, c=job(reads="in"), absent="in")
    play.exits("a")
    play.exits("b")
    assert play.workflow_status == "running"
    play.edit(a=job(), b=job(after="a"))
    assert play.workflow_status == "completed"


def test_one_that_has_not_started_runs_as_it_is_now():
    play = Edits(a=job(), b=job(after="a"))
    play.starts("a")
    assert play.verdicts(a=job(), b=job(after="a"), commands={"b": "false"})["b"] == (
        "will_run",
        "it has not started, and runs as it is now",
    )
    play.edit(a=job(), b=job(after="a"), commands={"b": "false"})
    play.exits("a")
    [started] = [c for c in play.last if isinstance(c, StartAttempt)]
    assert started.job.command == "false"


def test_one_that_waits_for_nothing_any_more_starts():
    play = Edits(a=job(), b=job(after="a"))
    play.starts("a")
    play.edit(a=job(), b=job())
    assert play.statuses == {"a": "running", "b": "pending"}


def test_one_that_has_completed_is_out_of_date_for_the_next_run():
    play = Edits(a=job(), b=job())
    play.exits("a")
    play.starts("b")
    outlook, reason = play.verdicts(a=job(), b=job(), commands={"a": "false"})["a"]
    assert (outlook, "torcctl restart" in reason) == ("next_run", True)
    play.edit(a=job(), b=job(), commands={"a": "false"})
    assert play.statuses == {"a": "completed", "b": "running"}
    play.exits("b")
    assert play.outlooks()["a"][0] == "will_run"
    assert play.outlooks()["b"][0] == "up_to_date"


@pytest.mark.parametrize(("made", "outlook"), [("1", "up_to_date"), ("2", "will_run")])
def test_what_comes_back_after_it_was_removed_has_another_key_and_is_known_by_what_it_makes(
    made: str, outlook: str
):
    jobs = {"a": job(writes="f"), "b": job(after="a"), "c": job()}
    play = Edits(**jobs)
    play.exits("a", files={"f": "1"})
    play.exits("b")
    was = play.keys["a"]
    play.edit(b=job(), c=job())
    play.edit(**jobs)
    assert play.keys["a"] != was
    play.exits("a", files={"f": made})
    play.exits("c")
    assert play.outlooks()["b"][0] == outlook


def test_a_failed_one_is_retried_as_it_is_now():
    play = Edits(a=job(), b=job())
    play.exits("a", 1)
    play.starts("b")
    assert "torcctl retry" in play.verdicts(a=job(), b=job(), commands={"a": "false"})["a"][1]
    play.edit(a=job(), b=job(), commands={"a": "false"})
    play.retry("a")
    [started] = [c for c in play.last if isinstance(c, StartAttempt)]
    assert started.job.command == "false"


def test_a_new_job_after_one_that_failed_is_canceled_and_another_that_does_not_mind_runs():
    play = Edits(a=job(), b=job())
    play.exits("a", 1)
    play.starts("b")
    new = {"c": job(after="a"), "d": job(after="a", goes_on=True), "e": job(after="c")}
    assert play.verdicts(a=job(), b=job(), **new)["c"][0] == "next_run"
    play.edit(a=job(), b=job(), **new)
    assert play.statuses == {
        "a": "failed", "b": "running", "c": "canceled", "d": "pending", "e": "canceled",
    }  # fmt: skip
    assert play.why("c") == ("dependency", 'canceled because "a" ended badly')


def test_one_that_would_have_been_spared_runs_when_it_is_another_one():
    jobs = {"a": job(reads="in", writes="f"), "b": job(reads="f")}
    play = Edits(**jobs)
    play.exits("a", files={"in": "1", "f": "same"})
    play.exits("b")
    play.restart(files={"in": "2"})
    play.starts("a")
    play.edit(commands={"b": "false"}, **jobs)
    play.exits("a", files={"f": "same"})
    assert play.statuses["b"] == "pending"


def test_one_that_is_changed_and_changed_back_before_it_starts_is_spared():
    jobs = {"a": job(reads="in", writes="f"), "b": job(reads="f")}
    play = Edits(**jobs)
    play.exits("a", files={"in": "1", "f": "same"})
    play.exits("b")
    play.restart(files={"in": "2"})
    play.starts("a")
    play.edit(commands={"b": "false"}, **jobs)
    play.edit(**jobs)
    play.exits("a", files={"f": "same"})
    assert play.statuses["b"] == "completed"


def test_a_value_that_is_given_lets_those_start_that_wait_for_it():
    play = Edits(a=job(fetches="d"), b=job(), wait=True)
    play.starts("b")
    play.edit(a=job(fetches="d"), b=job(), initial="d")
    assert play.statuses == {"a": "pending", "b": "running"}


def test_one_that_is_gone_frees_nothing_that_others_hold_and_asks_for_nothing_any_more():
    play = Edits(a=job(num_cpus=1), b=job(num_cpus=1), c=job(), parallel=1)
    play.starts("a")
    play.edit(a=job(num_cpus=1), c=job())
    play.exits("a")
    assert play.statuses == {"a": "completed", "c": "pending"}


def test_an_action_that_has_begun_keeps_its_commands():
    play = Edits(a=job(), actions=[ActionSpec("on_workflow_start")])
    with refused(WrongState, "its action 1 has begun"):
        play.edit(a=job(), b=job())
    play.edit(a=job(), b=job(), actions=[ActionSpec("on_workflow_start")])
    assert play.statuses == {"a": "ready", "b": "ready"}
    assert play.node.actions.active is not None
    assert play.node.actions.active is play.node.actions.nodes[0]


def test_an_action_waits_for_the_jobs_that_are_new():
    play = Edits(a=job(), b=job(), actions=[ActionSpec("on_jobs_complete", "a")])
    play.edit(a=job(), b=job(), c=job(), actions=[ActionSpec("on_jobs_complete", "a c")])
    play.exits("a")
    assert play.node.actions.active is None
    play.exits("c")
    assert play.node.actions.active is not None


def test_a_disabled_job_stays_disabled():
    play = Edits(a=job(), b=job())
    play.pause()
    play.does_not_start("a")
    play.disable("a")
    play.edit(a=job(), b=job(), c=job())
    assert play.job("a").state.status is JobStatus.DISABLED


def test_one_that_rests_goes_on_resting_and_runs_as_it_is_now():
    rules = {"h": [FailureRule(match_all_exit_codes=True, backoff_seconds=60)]}
    play = Edits(handlers=rules, a=job(handler="h"), b=job())
    play.exits("a", 1)
    assert play.status("a") == "blocked"
    jobs = {"a": job(handler="h"), "b": job(), "c": job(after="a")}
    play.edit(handlers=rules, commands={"a": "false"}, **jobs)
    assert play.statuses == {"a": "blocked", "b": "pending", "c": "blocked"}
    rest = play.job("a").recovery
    assert rest is not None
    play.tell(e.TimePassed(rest.until))
    [started] = [c for c in play.last if isinstance(c, StartAttempt)]
    assert (started.job.command, started.attempt_id) == ("false", 2)


def test_one_that_rests_is_removed():
    rules = {"h": [FailureRule(match_all_exit_codes=True, backoff_seconds=60)]}
    play = Edits(handlers=rules, a=job(handler="h"), b=job())
    play.exits("a", 1)
    play.exits("b")
    play.edit(handlers=rules, b=job())
    assert play.workflow_status == "completed"


def test_one_whose_recovery_script_runs_is_not_changed():
    rules = {"h": [FailureRule(match_all_exit_codes=True, recovery_script="true")]}
    play = Edits(handlers=rules, a=job(handler="h"))
    play.exits("a", 1)
    play.tell(e.AttemptStarted(play.job("a").state.attempt_key, play.now))
    with refused(WrongState, 'job "a" runs, and cannot be changed'):
        play.edit(handlers=rules, a=job(handler="h", priority=1))
    play.edit(handlers=rules, a=job(handler="h"), b=job())
    assert play.statuses == {"a": "running", "b": "pending"}


def test_a_value_is_given_under_a_job_that_reads_it_and_the_job_runs_again_the_next_time():
    play = Edits(a=job(fetches="d"), initial="d")
    play.starts("a")
    play.edit(a=job(fetches="d"), initial="d", values={"d": "7"})
    play.exits("a")
    assert play.outlooks()["a"][0] == "will_run"


def test_who_waits_in_line_with_a_job_that_is_gone_waits_no_more():
    one = Capacity(cpus=1, memory_bytes=1 << 30, gpus=0)
    first = Play(x=job(num_cpus=1), capacity=one)
    play = Edits(beside=first, a=job(num_cpus=1), b=job())
    assert play.statuses == {"a": "ready", "b": "pending"}
    play.edit(b=job())
    play.exits("b")
    assert play.workflow_status == "completed"


def test_a_command_of_an_action_that_runs_runs_on():
    actions = [ActionSpec("on_workflow_start")]
    play = Edits(a=job(), actions=actions)
    play.tell(e.AttemptStarted(play.node.actions.active.state.attempt_key, play.now))
    play.edit(a=job(), b=job(), actions=actions)
    assert play.node.actions.active.state.status is JobStatus.RUNNING


def test_how_long_attempts_take_is_still_known():
    play = Edits(a=job(), b=job(after="a"))
    play.starts("a")
    play.exits("a")
    before = play.node.mean_microseconds
    assert before is not None
    play.edit(a=job(), b=job(after="a"), c=job())
    assert play.node.mean_microseconds == before


def test_an_action_that_a_workflow_is_given_when_it_is_over_waits_for_the_next_run():
    play = Edits(a=job())
    play.exits("a")
    end = [ActionSpec("on_workflow_complete"), ActionSpec("on_jobs_complete", "a")]
    play.edit(a=job(), actions=end)
    assert play.workflow_status == "completed"
    play.edit(a=job(), b=job(), actions=end)
    assert play.node.run_id == 2
    play.exits("b")
    assert play.node.actions.active is not None


def test_an_action_that_has_been_done_is_taken_out_when_the_workflow_is_over():
    both = [ActionSpec("on_workflow_start"), ActionSpec("on_workflow_start", "", 2)]
    play = Edits(a=job(), actions=both)
    for _ in range(3):
        play.tell(
            e.AttemptExited(
                attempt_key=play.node.actions.active.state.attempt_key,
                return_code=0,
                cpu_seconds=None,
                peak_memory_bytes=None,
                outputs=e.Outputs(),
                at=play.now,
            )
        )
    play.exits("a")
    assert play.workflow_status == "completed"
    play.edit(a=job(), actions=both[:1])
    play.edit(a=job())
    assert play.workflow_status == "completed"


def test_a_spec_in_which_nothing_is_another_is_kept_and_files_are_watched_for_as_before():
    jobs = {"a": job(reads="in"), "b": job()}
    play = Edits(**jobs, absent="in", wait=True)
    play.starts("b")
    event = replace(play.event(files={"in": None}, **jobs), spec=SpecChange(text=b"{}"))
    edited, watched = play.tell(event)
    assert edited.spec.text == b"{}"
    assert (edited.jobs, edited.removed_jobs) == ((), ())
    assert watched.path == play.node.files[play.keys["in"]].path
    assert play.tell(replace(event, spec=SpecChange())) == []


def test_an_edit_that_was_checked_before_is_checked_again_only_if_something_has_happened_since():
    play = Edits(a=job(stores="d"), b=job(fetches="d"))
    play.exits("a", values={"d": "1"})
    play.exits("b")
    event = play.event(a=job(stores="d"), b=job(fetches="d"), c=job())
    event = replace(event, prepared=play.scheduler.outlook(event))
    play.stores("d", "2")
    play.tell(event)
    statuses = {one.job.name: one.state.status.value for one in play.node.jobs.values()}
    assert statuses == {"a": "completed", "b": "pending", "c": "pending"}


def test_what_a_job_stores_while_an_edit_is_checked_is_kept():
    play = Edits(a=job(stores="d"))
    play.starts("a")
    event = play.event(a=job(stores="d"), c=job())
    event = replace(event, prepared=play.scheduler.outlook(event))
    play.stores("d", "2", by="a")
    play.tell(event)
    play.exits("a")
    assert play.statuses["a"] == "completed"
    assert play.node.data[play.keys["d"]].revision == 1


def test_an_edit_that_was_checked_before_comes_to_the_same():
    made = []
    for is_checked in (False, True):
        play = Edits(a=job(), b=job(after="a"))
        play.exits("a")
        play.exits("b")
        event = play.event(a=job(), b=job(after="a"), c=job(after="b"), commands={"a": "false"})
        if is_checked:
            event = replace(event, prepared=play.scheduler.outlook(event))
        made.append(play.tell(event))
        assert play.node.run_id == 2
    assert made[0] == made[1]
