"""Jobs for the elements of a value, while their workflow runs."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tests.unit.scheduler.play import Play
from tests.unit.scheduler.specs import parsed
from torcd import spec
from torcd.model import DataKey, FileState, Happening, Workflow, WorkflowKey
from torcd.scheduler import Scheduler
from torcd.scheduler import events as e
from torcd.scheduler.building import as_loaded
from torcd.scheduler.commands import Command, EditWorkflow, MakeElements
from torcd.spec import FileSpec, JobSpec, UserDataSpec, WorkflowSpec
from torcd.value import Value

LIST = JobSpec(name="list", command="l", output_user_data=("items",))
ITEMS = UserDataSpec(name="items")
EACH = JobSpec(name="each", for_each="items", command="e {item}")
END = JobSpec(name="end", command="z", depends_on=("each",))


class Folded(Play):
    """A workflow of a spec with `for_each`. Nobody makes its elements until `makes` is said."""

    def __init__(
        self,
        *jobs: JobSpec,
        user_data: Sequence[UserDataSpec] = (ITEMS,),
        files: Sequence[FileSpec] = (),
        parallel: int = 100,
    ) -> None:
        self.spec = WorkflowSpec(jobs=jobs, user_data=tuple(user_data), files=tuple(files))
        self.scheduler = Scheduler()
        self.history: list[Command] = []
        self.last: list[Command] = []
        self._time = 0
        self.values: dict[str, Value] = {}
        self.workflow = self.expanded(None, 1)
        self.tell(
            e.SubmitRequested(
                workflow=self.workflow,
                max_parallel_jobs=parallel,
                initial_values={},
                absent_files=frozenset(),
                wait_for_inputs=False,
                at=self.now,
            )
        )

    def expanded(self, known: Workflow | None, next_key: int) -> Workflow:
        return spec.expand(
            self.spec,
            directory="/",
            default_name="w",
            first_key=next_key,
            known=None if known is None else spec.Known(workflow=known, next_key=next_key),
            values=self.values,
        )

    def tell(self, event: e.Event) -> list[Command]:
        commands = super().tell(event)
        self.workflow = self.node.workflow
        self.keys: dict[str, Any] = {
            item.name: item.key
            for item in (*self.workflow.jobs, *self.workflow.files, *self.workflow.user_data)
        }
        return commands

    @property
    def asked_now(self) -> list[DataKey]:
        return [c.data_key for c in self.last if isinstance(c, MakeElements)]

    def event(self, text: str, name: str = "items") -> e.ElementsMade:
        value = self.values[name] = parsed(text)
        next_key = self.scheduler.next_key
        edit = e.EditRequested(
            workflow_key=self.workflow.key,
            workflow=self.expanded(self.workflow, next_key),
            values_before={},
            values={},
            files={},
            at=self.now,
        )
        return e.ElementsMade(
            data_key=self.keys[name], sha256=value.sha256, base=self.node.workflow, edit=edit
        )

    def makes(self, text: str, name: str = "items") -> list[Command]:
        """Jobs for the elements of this value."""
        return self.tell(self.event(text, name))

    def refuses(self, message: str) -> list[Command]:
        return self.tell(
            e.ElementsRefused(
                workflow_key=WorkflowKey(1),
                data_key=self.keys["items"],
                sha256=self.node.data[self.keys["items"]].sha256,
                base=self.node.workflow,
                message=message,
                at=self.now,
            )
        )

    def lists(self, text: str) -> None:
        """`list` stores this, and jobs are made for the elements."""
        self.exits("list", values={"items": text})
        self.makes(text)


def test_when_its_value_is_there_jobs_are_asked_for_once() -> None:
    play = Folded(LIST, EACH, END, JobSpec(name="other", command="o"))
    assert play.asked_now == []
    play.exits("list", values={"items": "[1, 2]"})
    assert play.asked_now == [play.keys["items"]]
    assert play.status("each") == "blocked"
    play.exits("other")
    assert play.asked_now == []
    play.makes("[1, 2]")
    assert play.statuses == {
        "list": "completed", "each": "completed", "end": "blocked", "other": "completed",
        "each_0": "pending", "each_1": "pending",
    }  # fmt: skip
    [edit] = [c for c in play.records if isinstance(c, EditWorkflow)]
    assert {job.name for job in edit.jobs} == {"each", "end", "each_0", "each_1"}
    told = [
        c.message for c in play.last if isinstance(c, Happening) and c.kind == "workflow_edited"
    ]
    assert told == ['"each": 2 jobs, one for each element of "items"']
    play.exits("each_0")
    play.exits("each_1")
    assert play.started_now == ["end"]


def test_an_answer_that_comes_twice_is_none() -> None:
    play = Folded(LIST, EACH, END)
    play.exits("list", values={"items": "[1]"})
    event = play.event("[1]")
    play.tell(event)
    play.changes_nothing(event)


def test_an_answer_about_another_workflow_or_value_is_asked_for_again() -> None:
    play = Folded(LIST, EACH, END)
    play.exits("list", values={"items": "[1]"})
    event = play.event("[1]")
    play.stores("items", "[2]")
    play.tell(event)
    assert play.asked_now == [play.keys["items"]]
    assert "each_0" not in play.keys
    other = msgspec.structs.replace(play.event("[2]"), base=event.edit.workflow)
    play.tell(other)
    assert play.asked_now == [play.keys["items"]]
    play.makes("[2]")
    assert play.job("each_0").job.command == "e 2"


def test_after_a_start_it_is_asked_for_again() -> None:
    play = Folded(LIST, EACH, END)
    play.exits("list", values={"items": "[1]"})
    was = as_loaded(play.node, play.now)
    other = Scheduler(next_key=play.scheduler.next_key, is_loading=True)
    found = other.handle(was)
    assert found == [MakeElements(WorkflowKey(1), play.keys["items"])]


def test_who_cannot_be_made_has_failed_and_those_after_it_are_canceled() -> None:
    play = Folded(LIST, EACH, END)
    play.exits("list", values={"items": "5"})
    play.refuses("it is a number")
    assert play.why("each") == ("start_failed", "it is a number")
    assert play.status("end") == "canceled"
    assert play.workflow_status == "failed"
    play.stores("items", "[1]")
    assert play.asked_now == []
    play.retry("each")
    assert play.asked_now == [play.keys["items"]]
    play.makes("[1]")
    play.exits("each_0")
    play.exits("end")
    assert play.workflow_status == "completed"


def test_an_empty_list_ends_it_at_once() -> None:
    play = Folded(LIST, EACH, END)
    play.exits("list", values={"items": "[]"})
    play.makes("[]")
    assert (play.status("each"), play.status("end")) == ("completed", "pending")
    assert play.node.shown_counts == play.node.counts


def test_it_is_not_seen_when_there_are_elements_unless_it_ended_badly() -> None:
    play = Folded(LIST, EACH, END)
    play.lists("[1]")
    assert play.job("each").is_hidden
    assert sum(play.node.shown_counts.values()) == 3
    play.exits("each_0")
    play.exits("end")
    play.stores("items", "[2]")
    play.restart()
    play.cancel("each")
    assert not play.job("each").is_hidden
    assert play.node.shown_counts == play.node.counts
    assert play.why("each_0")[1] == 'canceled because "each" was canceled'


def test_what_waits_for_more_than_the_value_becomes_jobs_all_the_same() -> None:
    late = msgspec.structs.replace(EACH, depends_on=("late",))
    play = Folded(LIST, late, END, JobSpec(name="late", command="x"))
    play.lists("[1]")
    assert (play.status("each"), play.status("each_0")) == ("completed", "blocked")
    play.exits("late")
    assert play.started_now == ["each_0"]


def test_the_same_value_makes_nothing_again() -> None:
    play = Folded(LIST, EACH, END)
    play.lists("[1, 2]")
    for name in ("each_0", "each_1", "end"):
        play.exits(name)
    assert play.restart() == []
    play.restart("list")
    play.exits("list", values={"items": "[1,2]"})
    assert play.asked_now == []
    assert play.workflow_status == "completed"
    assert play.started_now == []


def test_only_what_is_another_element_runs() -> None:
    """Though a job of that name has run, and its command is the same."""
    same = msgspec.structs.replace(EACH, command="e", env={"X": "{item}"})
    play = Folded(LIST, same, END)
    play.lists("[1, 2]")
    for name in ("each_0", "each_1", "end"):
        play.exits(name)
    play.restart("list")
    play.lists("[1, 3]")
    assert play.started_now == ["each_1"]
    assert play.job("each_0").run_id == 1
    play.exits("each_1")
    assert play.started_now == ["end"]


def test_a_shorter_list_removes_jobs_and_runs_who_waited_for_them() -> None:
    play = Folded(LIST, EACH, END)
    play.lists("[1, 2]")
    for name in ("each_0", "each_1", "end"):
        play.exits(name)
    gone = play.keys["each_1"]
    play.restart("list")
    play.exits("list", values={"items": "[1]"})
    play.makes("[1]")
    [edit] = [c for c in play.records if isinstance(c, EditWorkflow)]
    assert edit.removed_jobs == (gone,)
    assert play.started_now == ["end"]
    play.exits("end")
    assert play.restart() == []
    play.restart("list")
    play.lists("[1, 2]")
    assert play.started_now == ["each_1"]
    assert play.keys["each_1"] != gone


def test_the_outlook_names_the_value() -> None:
    play = Folded(LIST, EACH, END)
    play.lists("[1]")
    play.exits("each_0")
    play.exits("end")
    play.stores("items", "[2]")
    assert play.outlooks() == {
        "list": ("up_to_date", "nothing that it needs has changed"),
        "each": ("will_run", 'user_data "items" has another value, so other elements'),
        "end": ("may_run", '"each_0", which comes before it, may run again'),
        "each_0": ("may_run", 'user_data "items" may have other elements'),
    }


def test_what_runs_is_not_changed_and_they_are_made_when_it_has_ended() -> None:
    """`end` runs although `list` failed; then `list` is retried, and has another list."""
    end = msgspec.structs.replace(END, cancel_on_blocking_job_failure=False)
    play = Folded(LIST, EACH, end)
    play.exits("list", 1)
    assert play.status("each") == "canceled"
    assert play.started_now == ["end"]
    play.starts("end")
    play.retry("list")
    play.exits("list", values={"items": "[1]"})
    play.makes("[1]")
    assert "each_0" not in play.keys
    assert play.node.held_back == {play.keys["items"]}
    play.exits("end")
    assert play.asked_now == [play.keys["items"]]
    play.makes("[1]")
    assert play.started_now == ["each_0"]
    assert play.status("end") == "completed"
    play.exits("each_0")
    assert play.outlooks()["end"][0] == "will_run"


def test_without_what_they_read_they_are_not_made() -> None:
    """Of a file that was there when the workflow was submitted."""
    reads = msgspec.structs.replace(EACH, input_files=("f",))
    play = Folded(LIST, reads, END, files=[FileSpec(name="f", path="/f")])
    play.exits("list", values={"items": "[1]"})
    event = play.event("[1]")
    edit = msgspec.structs.replace(event.edit, files={play.keys["f"]: None})
    play.tell(msgspec.structs.replace(event, edit=edit))
    assert play.status("each") == "failed"
    assert 'file "f" (/f), which job "each_0" needs' in (play.why("each")[1] or "")


def test_one_value_makes_the_elements_of_all_who_say_so() -> None:
    also = JobSpec(name="also", for_each="items", command="a {item}", depends_on=("each_{index}",))
    named = msgspec.structs.replace(EACH, name="each_{index}")
    play = Folded(LIST, named, also)
    play.lists("[1, 2]")
    assert play.started_now == ["each_0", "each_1"]
    play.exits("each_1")
    assert play.started_now == ["also_1"]


def test_a_state_is_of_a_file_of_its_element() -> None:
    """What is known of the file of an element that is gone is not that of the one that comes."""
    makes = msgspec.structs.replace(EACH, output_files=("f_{index}",))
    file = FileSpec(name="f_{index}", path="/f{index}")
    play = Folded(LIST, makes, files=[file])
    play.lists("[1]")
    play.exits("each_0", files={"f_0": "one"})
    state = FileState(3, 1, 1, "one")
    assert play.node.file_states == {play.keys["f_0"]: state}
    play.restart("list", files={"f_0": "one"})
    play.lists("[]")
    assert play.node.file_states == {}
    assert "f_0" not in play.keys
