"""The shipped JSON Schema is that of the structs, and says yes and no as the loader does."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from jsonschema_rs import Draft202012Validator

from torcd.spec import formats, json_schema, structure

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "configs" / "torc-workflow.schema.json"
EXAMPLES = sorted(
    path
    for suffix in ("json5", "json", "yaml", "toml")
    for path in (ROOT / "configs" / "examples").rglob(f"*.{suffix}")
    if path.name != "inputs.json"
)
GOLDEN = sorted(
    path
    for path in (ROOT / "tests" / "unit" / "spec" / "golden").glob("*.*5")
    if path.stem in ("wrong_types", "unknown_fields", "missing_fields", "no_jobs")
)
SCHEMA = msgspec.json.decode(json_schema.text())
VALIDATOR = Draft202012Validator(SCHEMA)

JOB = {
    "name": "j",
    "command": ["a", "b"],
    "invocation_script": "s",
    "depends_on": ["k"],
    "depends_on_regexes": ["k"],
    "input_files": ["f", {"name": "g", "cli_arg": "-g"}],
    "output_user_data": ["d"],
    "cancel_on_blocking_job_failure": False,
    "supports_termination": True,
    "priority": 3,
    "env": {"A": "1"},
    "cwd": "x",
    "stdio": "combined",
    "resource_requirements": "r",
    "failure_handler": "h",
    "schedule_compute_nodes": {"num_jobs": 1, "scheduler_id": None},
    "parameters": {"i": [1, "a", 0.5, True], "j": "1:3", "k": 3, "l": 0.5, "m": True},
    "parameter_mode": "zip",
    "use_parameters": ["p"],
}
WORKFLOW: dict[str, Any] = {
    "$schema": "torc-workflow.schema.json",
    "name": "w",
    "env": {"A": "1"},
    "parameters": {"p": "1:3"},
    "jobs": [JOB],
    "files": [{"name": "f", "path": "f", "st_mtime": 1.5}],
    "user_data": [
        {
            "name": "d",
            "data": {"any": [None]},
            "is_ephemeral": True,
            "available": "on_store",
            "schema": {},
        }
    ],
    "resource_requirements": [
        {"name": "r", "num_cpus": 1, "memory": "1g", "num_gpus": 0, "runtime": "PT1H"}
    ],
    "failure_handlers": [
        {
            "name": "h",
            "rules": [
                {
                    "exit_codes": [1, -9],
                    "match_all_exit_codes": True,
                    "on": ["timeout"],
                    "recovery_script": "x",
                    "max_retries": 2,
                    "backoff": 0.5,
                }
            ],
        }
    ],
    "actions": [
        {
            "trigger_type": "on_jobs_ready",
            "action_type": "run_commands",
            "commands": ["x"],
            "jobs": ["j"],
            "persistent": True,
        }
    ],
    "jobs_sort_method": "none",
    "resource_monitor": {"enabled": True, "granularity": "summary", "metrics": ["x"]},
    "slurm_schedulers": [{"name": "s", "account": "a", "nodes": 1}],
    "slurm_defaults": {"qos": "high", "n": 1},
    "config": {"any": 1},
    "access_groups": ["g"],
}
WRONG: list[Any] = [None, True, 3, -1000, 1.5, "text", [], ["x"], [3], {}, {"x": 3}]


def is_refused_by_the_loader(tree: Any) -> bool:
    """For its structure; whether names are known and the like no schema can say."""
    tree = {key: value for key, value in tree.items() if key != "$schema"}
    return bool(structure.decode(copy.deepcopy(tree)).findings)


def is_refused_by_the_schema(tree: Any) -> bool:
    return not VALIDATOR.is_valid(plain(tree))


def plain(tree: Any) -> Any:
    """Numbers as the validator knows them, without how they were written."""
    return json.loads(json.dumps(tree))


def load(path: Path) -> Any:
    return formats.by_name(formats.SUFFIXES[path.suffix]).load(path.read_text())


def variants(tree: Any, part: Any, place: str) -> Iterator[tuple[str, Any]]:
    """The tree with one thing changed: each value another, a field too many, a field too few.

    `part` is a part of `tree` itself, and is as it was after each."""
    for key in list(part) if isinstance(part, dict) else range(len(part)):
        kept = part[key]
        for wrong in WRONG:
            part[key] = wrong
            yield f"{place}.{key} = {wrong!r}", tree
        part[key] = kept
        if isinstance(kept, dict | list):
            yield from variants(tree, kept, f"{place}.{key}")
    if isinstance(part, dict):
        for key in list(part):
            kept = part.pop(key)
            yield f"{place} without {key}", tree
            part[key] = kept
        part["colour"] = "red"
        yield f"{place}.colour", tree
        del part["colour"]


def test_the_shipped_schema_is_that_of_the_structs() -> None:
    assert SHIPPED.read_text() == json_schema.text()


def test_it_is_a_json_schema() -> None:
    assert jsonschema_rs.meta.is_valid(SCHEMA)


def test_every_field_is_in_it_with_its_meaning() -> None:
    for name, struct in SCHEMA["$defs"].items():
        for field, described in struct["properties"].items():
            assert described["description"], f"{name}.{field}"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_fits(path: Path) -> None:
    assert list(VALIDATOR.iter_errors(plain(load(path)))) == []


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_what_is_refused_in_golden_words_does_not_fit(path: Path) -> None:
    assert is_refused_by_the_schema(load(path))


def test_whatever_is_changed_the_schema_and_the_loader_agree() -> None:
    tree = copy.deepcopy(WORKFLOW)
    assert not is_refused_by_the_loader(tree)
    assert not is_refused_by_the_schema(tree)
    refused = 0
    for change, changed in variants(tree, tree, ""):
        if change.startswith((".$schema", ".jobs = ", " without jobs")):
            continue  # see below
        by_schema = is_refused_by_the_schema(changed)
        assert by_schema == is_refused_by_the_loader(changed), change
        refused += by_schema
    assert refused > 500
    assert tree == WORKFLOW


@pytest.mark.parametrize("jobs", [{}, {"jobs": None}, {"jobs": []}, {"jobs": [], "$schema": 1}])
def test_a_workflow_without_jobs_does_not_fit(jobs: object) -> None:
    assert is_refused_by_the_schema(jobs)
