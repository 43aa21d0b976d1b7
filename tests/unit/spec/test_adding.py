"""What jobs add to their workflow, and the spec that comes of it."""

from typing import Any

import msgspec
import pytest

from torcd import spec
from torcd.errors import InvalidSpec
from torcd.model import Addition, JobKey, Workflow
from torcd.spec import adding

FIRST, SECOND = (1, 1), (2, 1)

SPLIT = {"name": "split", "command": "true"}
COLLECT = {
    "name": "collect",
    "command": "true",
    "depends_on": ["split"],
    "depends_on_regexes": ["^part_"],
}
OTHER = {"name": "other", "command": "true"}


def decoded(tree: Any) -> spec.WorkflowSpec:
    return spec.decode(msgspec.json.encode(tree))


class World:
    """A workflow of `split` (which adds), `collect` (by a regex) and `other`."""

    def __init__(self, **more: Any) -> None:
        self.spec = decoded({"jobs": [SPLIT, COLLECT, OTHER], **more})
        self.workflow = spec.expand(self.spec, directory="/w", default_name="w", first_key=1)
        self.additions: list[Addition] = []

    def key(self, name: str) -> JobKey:
        return next(job.key for job in self.workflow.jobs if job.name == name)

    def known(self) -> spec.Known:
        workflow = self.workflow
        items = (workflow, *workflow.jobs, *workflow.files, *workflow.user_data, *workflow.groups)
        return spec.Known(workflow=workflow, next_key=max(item.key for item in items) + 1)

    def adds(
        self,
        by: str = "split",
        attempt: tuple[int, int] = FIRST,
        directory: str | None = None,
        **sections: Any,
    ) -> Workflow:
        adder = self.key(by)
        unrolled = adding.unroll(decoded(sections), directory=directory)
        additions = adding.merged(self.additions, adder, attempt, unrolled)
        self.workflow = spec.expand_with(
            self.spec,
            additions,
            directory="/w",
            known=self.known(),
            by=(adder, attempt),
            call=unrolled,
            most=self.workflow.max_dynamic_jobs,
        )
        self.additions = additions
        return self.workflow

    def without_earlier(self, attempt: tuple[int, int], *kept: str) -> set[str] | None:
        """The names of the jobs that are left."""
        left = adding.without_earlier(
            self.spec,
            self.additions,
            self.key("split"),
            attempt,
            kept=frozenset(kept),
            directory="/w",
            known=self.known(),
        )
        return None if left is None else {job.name for job in left.expanded.workflow.jobs}

    def waits_for(self, name: str) -> set[str]:
        names = {job.key: job.name for job in self.workflow.jobs}
        [job] = [job for job in self.workflow.jobs if job.name == name]
        return {names[key] for key in self.workflow.depends_on(job)}


def part(n: int, **more: Any) -> dict[str, Any]:
    return {"name": f"part_{n}", "command": "true", **more}


def problems(error: pytest.ExceptionInfo[InvalidSpec]) -> list[tuple[str, str]]:
    told = error.value.facts["problems"]
    assert isinstance(told, list)
    return [(str(one["path"]), str(one["message"])) for one in told]  # type: ignore[index]


def test_what_is_added_has_the_next_keys_and_all_else_its_own():
    world = World()
    before = world.workflow
    after = world.adds(jobs=[part(1), part(2)], files=[{"name": "f", "path": "f"}])
    assert [job.key for job in after.jobs[:3]] == [job.key for job in before.jobs]
    keys = [job.key for job in after.jobs[3:]]
    assert keys == [before.size + 1, before.size + 2]
    assert {job.added.by for job in after.jobs[3:] if job.added} == {world.key("split")}


def test_regexes_of_what_was_there_find_what_is_added():
    world = World()
    assert world.waits_for("collect") == {"split"}
    world.adds(jobs=[part(1), part(2)])
    assert world.waits_for("collect") == {"split", "part_1", "part_2"}
    world.adds(jobs=[part(3)])
    assert world.waits_for("collect") == {"split", "part_1", "part_2", "part_3"}


def test_what_is_added_refers_to_what_is_there_and_to_each_other():
    world = World(files=[{"name": "in", "path": "in"}], resource_requirements=[{"name": "small"}])
    world.adds(
        jobs=[
            part(1, depends_on=["split"], input_files=["in"], resource_requirements="small"),
            part(2, depends_on=["part_1"]),
        ]
    )
    assert world.waits_for("part_1") == {"split"}
    assert world.waits_for("part_2") == {"part_1"}


def test_to_add_the_same_again_is_the_same_workflow():
    world = World()
    first = world.adds(jobs=[part(1), part(2)])
    assert world.adds(jobs=[part(1), part(2)]) == first


def test_parameters_make_single_items_which_may_be_added_again_one_by_one():
    world = World()
    many = {"name": "part_{i}", "command": "echo {i}", "parameters": {"i": "1:2"}}
    first = world.adds(jobs=[many])
    again = [part(1, command="echo 1"), part(2, command="echo 2")]
    assert world.adds(jobs=again) == first


def test_relative_paths_are_those_of_the_call_or_of_the_workflow():
    world = World()
    file = {"name": "f", "path": "f"}
    after = world.adds(jobs=[part(1)], files=[file])
    assert (after.files[0].path, after.jobs[3].cwd) == ("/w/f", None)
    world = World()
    after = world.adds(directory="/elsewhere", jobs=[part(1), part(2, cwd="d")], files=[file])
    assert after.files[0].path == "/elsewhere/f"
    assert [job.cwd for job in after.jobs[3:]] == ["/elsewhere", "/elsewhere/d"]


def test_everything_wrong_is_told_at_its_place_in_the_call_and_nothing_is_added():
    world = World()
    world.adds(by="other", jobs=[{"name": "mine", "command": "true"}])
    with pytest.raises(InvalidSpec) as error:
        world.adds(
            name="another",
            jobs=[
                part(1, depends_on=["splitt"]),
                {"name": "other", "command": "true"},
                {"name": "mine", "command": "true"},
                {"command": "true"},
                part(2, resource_requirements="large"),
                part(3, input_files=["nowhere"]),
            ],
        )
    told = dict(problems(error))
    assert set(told) == {
        "name", "jobs[0].depends_on[0]", "jobs[1].name", "jobs[2].name", "jobs[3]",
        "jobs[4].resource_requirements", "jobs[5].input_files[0]",
    }  # fmt: skip
    assert told["jobs[0].depends_on[0]"] == 'unknown job "splitt"'
    assert told["jobs[3]"] == "a job that is added needs a name"
    assert told["jobs[1].name"] == 'the workflow has "other" already, and not from this job'


def test_a_job_that_adds_itself_is_told_that_it_is_there():
    with pytest.raises(InvalidSpec) as error:
        World().adds(jobs=[{"name": "split", "command": "true"}])
    assert problems(error) == [
        ("jobs[0].name", 'the workflow has "split" already, and not from this job')
    ]


@pytest.mark.parametrize("name", ["", "a\nb"])
def test_a_name_that_cannot_be_one_is_told_as_that(name: str):
    with pytest.raises(InvalidSpec, match="name"):
        World().adds(jobs=[{"name": name, "command": "true"}])


def test_a_circle_through_the_adder_is_refused():
    world = World()
    # What `split` itself waits for by a regex.
    world.spec = decoded({"jobs": [{**SPLIT, "depends_on_regexes": ["^part_"]}, COLLECT, OTHER]})
    with pytest.raises(InvalidSpec, match="added by it"):
        world.adds(jobs=[part(1)])


def test_names_that_wrong_parameters_keep_from_being_made_are_not_unknown_as_well():
    world = World()
    with pytest.raises(InvalidSpec) as error:
        world.adds(
            jobs=[
                {"name": "part_{i}", "command": "true", "parameters": {"i": "1:"}},
                {"name": "last", "command": "true", "depends_on": ["part_1"]},
            ]
        )
    assert [path for path, _ in problems(error)] == ["jobs[0].parameters.i"]


def test_no_more_are_added_than_may_be():
    world = World(max_dynamic_jobs=2)
    world.adds(jobs=[part(1), part(2)])
    with pytest.raises(InvalidSpec, match="3 jobs would have been added, and max_dynamic_jobs is"):
        world.adds(jobs=[part(3)])
    with pytest.raises(InvalidSpec, match="max_dynamic_jobs"):
        world.adds(by="other", jobs=[{"name": "mine", "command": "true"}])


def test_what_earlier_attempts_have_added_does_not_count_until_it_is_as_many_again():
    world = World(max_dynamic_jobs=2)
    world.adds(jobs=[part(1), part(2)])
    world.adds(attempt=SECOND, jobs=[part(3), part(4)])
    with pytest.raises(InvalidSpec, match="earlier attempts have added 4 jobs"):
        world.adds(attempt=(3, 1), jobs=[part(5)])


def test_two_jobs_may_add_the_same_file_and_not_another_one_of_that_name():
    world = World()
    file = {"name": "f", "path": "f"}
    world.adds(jobs=[part(1)], files=[file])
    mine = {"name": "mine", "command": "true"}
    after = world.adds(by="other", jobs=[mine], files=[file])
    assert [one.name for one in after.files] == ["f"]
    with pytest.raises(InvalidSpec) as error:
        world.adds(by="other", files=[{"name": "f", "path": "g"}])
    assert [path for path, _ in problems(error)] == ["files[0].name"]


def test_what_is_not_added_again_is_left_out():
    world = World()
    file = {"name": "f", "path": "f"}
    world.adds(jobs=[part(1), part(2, output_files=["f"])], files=[file])
    world.adds(attempt=SECOND, jobs=[part(1)])
    assert world.without_earlier(SECOND) == {"split", "collect", "other", "part_1"}
    assert world.without_earlier(FIRST) == {"split", "collect", "other", "part_2"}


def test_what_runs_and_what_others_name_is_kept_with_what_it_needs():
    world = World()
    world.adds(
        jobs=[part(1), part(2, resource_requirements="r"), part(3), part(4)],
        resource_requirements=[{"name": "r"}],
    )
    world.adds(by="other", jobs=[{"name": "mine", "command": "true", "depends_on": ["part_3"]}])
    left = world.without_earlier(SECOND, "part_2")
    assert left == {"split", "collect", "other", "mine", "part_2", "part_3"}


def test_when_all_is_added_again_nothing_is_left_out():
    world = World()
    world.adds(jobs=[part(1)])
    world.adds(attempt=SECOND, jobs=[part(1)])
    assert world.without_earlier(SECOND) is None


def test_an_edited_spec_keeps_what_was_added_but_for_what_it_names_and_what_has_no_adder():
    world = World()
    world.adds(jobs=[part(1), part(2)], files=[{"name": "f", "path": "f"}])
    world.adds(by="part_1", jobs=[{"name": "grandchild", "command": "true"}])

    def stay(*jobs: Any) -> list[str]:
        kept = adding.that_stay(decoded({"jobs": jobs}), world.additions, world.workflow)
        return [one.name for one in kept]

    assert stay(SPLIT, COLLECT) == ["part_1", "part_2", "f", "grandchild"]
    assert stay(SPLIT, part(1)) == ["part_2", "f", "grandchild"]
    assert stay(COLLECT, OTHER) == []


def test_what_is_wrong_with_what_was_added_before_is_told_by_name():
    world = World(files=[{"name": "in", "path": "in"}])
    world.adds(jobs=[part(1, input_files=["in"])])
    with pytest.raises(InvalidSpec, match='"part_1", which "split" has added: unknown file "in"'):
        spec.expand_with(
            decoded({"jobs": [SPLIT]}), world.additions, directory="/w", known=world.known()
        )
