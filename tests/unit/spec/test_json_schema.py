"""The shipped JSON Schema is that of the structs, and says yes and no as they do."""

from pathlib import Path

import pytest
from jsonschema_rs import Draft202012Validator

from torcd.spec import json_schema

SHIPPED = Path(__file__).parents[3] / "configs" / "torc-workflow.schema.json"
VALIDATOR = Draft202012Validator(json_schema.text())


def test_the_shipped_schema_is_that_of_the_structs() -> None:
    assert SHIPPED.read_text() == json_schema.text()


@pytest.mark.parametrize(
    "spec",
    [
        {"jobs": [{"command": "x", "parameters": {"i": [1, "a", 0.5], "j": "1:3"}}]},
        {"jobs": [{"command": ["a", "b"], "input_files": ["f", {"name": "g", "cli_arg": "-g"}]}]},
        {"user_data": [{"name": "d", "data": {"any": [None]}, "schema": {}}], "jobs": None},
    ],
)
def test_right_specs_fit(spec: object) -> None:
    assert list(VALIDATOR.iter_errors(spec)) == []


@pytest.mark.parametrize(
    "spec",
    [
        {"jobs": [{"name": "a"}]},
        {"jobs": [{"command": "x", "colour": 1}]},
        {"jobs": [{"command": "x", "stdio": "nowhere"}]},
        {"resource_requirements": [{"name": "r", "num_cpus": 0}]},
    ],
)
def test_wrong_specs_do_not(spec: object) -> None:
    assert list(VALIDATOR.iter_errors(spec))
