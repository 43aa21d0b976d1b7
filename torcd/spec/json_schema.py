"""The JSON Schema of the spec language, made from the structs: for editors."""

from typing import Any

import msgspec

from torcd.spec.schema import WorkflowSpec


def text() -> str:
    """As it is shipped in `configs/torc-workflow.schema.json`."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "torc workflow",
        **msgspec.json.schema(WorkflowSpec),
    }
    workflow = schema["$defs"]["WorkflowSpec"]
    # What the structs leave to the rules of `expansion`, and what they never see.
    jobs = workflow["properties"]["jobs"]
    workflow["properties"]["jobs"] = {
        "description": jobs["description"],
        **jobs["anyOf"][0],
        "minItems": 1,
    }
    workflow["required"] = ["jobs"]
    workflow["properties"]["$schema"] = {
        "type": "string",
        "description": "Where this schema is; for editors.",
    }
    _put_null_last(schema)
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"


def _put_null_last(schema: Any) -> None:
    """Versions of msgspec differ in where they put it."""
    if isinstance(schema, dict):
        if "anyOf" in schema:
            schema["anyOf"].sort(key=lambda choice: choice.get("type") == "null")
        for below in schema.values():
            _put_null_last(below)
    elif isinstance(schema, list):
        for below in schema:
            _put_null_last(below)
