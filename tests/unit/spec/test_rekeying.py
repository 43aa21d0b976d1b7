"""An edited spec has the keys of the workflow that there is."""

from typing import Any

import pytest

from torcd import spec
from torcd.errors import InvalidSpec
from torcd.model import Workflow

FIRST: dict[str, Any] = {
    "name": "w",
    "jobs": [
        {"name": "a", "command": "true", "output_files": ["f"]},
        {"name": "b", "command": "true", "input_file_regexes": ["^f$"], "input_user_data": ["d"]},
    ],
    "files": [{"name": "f", "path": "f"}],
    "user_data": [{"name": "d", "data": 1}],
}


def expanded(document: dict[str, Any], known: spec.Known | None = None) -> Workflow:
    return spec.expand(
        spec.decode(spec.to_json(document)),
        directory="/x",
        default_name="w",
        first_key=10,
        known=known,
    )


def edited(document: dict[str, Any], next_key: int = 100) -> Workflow:
    known = spec.Known(workflow=expanded(FIRST), next_key=next_key)
    return expanded(document, known)


def keys(workflow: Workflow) -> dict[str, int]:
    items = (*workflow.jobs, *workflow.files, *workflow.user_data)
    return {item.name: item.key for item in items}


def test_the_same_spec_is_the_same_workflow_in_whatever_order():
    assert edited(FIRST) == expanded(FIRST)
    assert edited({**FIRST, "jobs": FIRST["jobs"][::-1]}) == expanded(FIRST)


def test_what_is_known_keeps_its_key_and_what_is_new_follows_from_the_next_one():
    found = edited(
        {
            **FIRST,
            "jobs": [{"name": "new", "command": "true", "depends_on": ["b"]}, *FIRST["jobs"]],
            "files": [{"name": "g", "path": "g"}, *FIRST["files"]],
        }
    )
    before = keys(expanded(FIRST))
    assert keys(found) == {**before, "new": 100, "g": 101}
    assert [job.name for job in found.jobs] == ["a", "b", "new"]
    assert found.jobs[2].depends_on == (before["b"],)
    assert found.jobs[1].input_files == (before["f"],)
    assert found.key == 10


def test_a_placeholder_of_a_value_is_its_own_key():
    commands = ["get ${user_data.input.d}", "get ${user_data.input.e}"]
    found = edited(
        {
            "jobs": [{"name": f"j{n}", "command": text} for n, text in enumerate(commands)],
            "user_data": [{"name": "e", "data": 1}, {"name": "d", "data": 1}],
        }
    )
    assert [job.command for job in found.jobs] == [
        f"get {keys(expanded(FIRST))['d']}",
        f"get {keys(found)['e']}",
    ]


def test_groups_keep_their_keys_as_long_as_they_are_what_they_were():
    many = {
        "jobs": [
            *({"name": f"a{n}", "command": "true"} for n in range(60)),
            *(
                {"name": f"b{n}", "command": "true", "depends_on_regexes": ["^a"]}
                for n in range(60)
            ),
        ]
    }
    before = expanded(many)
    assert before.groups
    known = spec.Known(workflow=before, next_key=500)
    assert expanded(many, known) == before
    more = {"jobs": [*many["jobs"], {"name": "a60", "command": "true"}]}
    after = expanded(more, known)
    assert keys(after)["a60"] == 500
    assert [group.key for group in after.groups] == [501]
    assert len(after.groups[0].members) == 61
    assert all(after.depends_on(job) == after.groups[0].members for job in after.jobs[60:120])


def test_actions_name_jobs_by_their_keys():
    found = edited(
        {
            **FIRST,
            "actions": [
                {
                    "trigger_type": "on_jobs_complete",
                    "action_type": "run_commands",
                    "commands": ["true"],
                    "jobs": ["b", "a"],
                }
            ],
        }
    )
    before = keys(expanded(FIRST))
    assert found.actions[0].jobs == (before["a"], before["b"])


def test_what_is_wrong_is_told_as_ever():
    with pytest.raises(InvalidSpec, match='job "a" is already at'):
        edited({"jobs": [FIRST["jobs"][0]] * 2, "files": FIRST["files"]})
    circle = [{"name": n, "command": "true", "depends_on": [m]} for n, m in ("ab", "ba")]
    with pytest.raises(InvalidSpec, match="wait for"):
        edited({"jobs": circle})
