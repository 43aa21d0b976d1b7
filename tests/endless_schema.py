"""A schema of a few lines that no computer gets to the end of."""

import json

LEVELS = 80


def endless_schema(number: int = 0) -> bytes:
    """One of many, each different. Every level has the value looked at twice by the next."""
    levels: dict[str, object] = {
        f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 2} for n in range(LEVELS)
    }
    levels[f"l{LEVELS}"] = {"minimum": -number}
    return json.dumps({"$defs": levels, "$ref": "#/$defs/l0"}).encode()
