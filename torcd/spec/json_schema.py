"""The JSON Schema of the spec language, made from the structs: for editors."""

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
    workflow["properties"] |= {
        "$schema": {"type": "string", "description": "Where this schema is; for editors."}
    }
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"
