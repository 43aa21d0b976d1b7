"""Structs to JSON: complete and stable, with null for what is absent.

msgspec is imported when something is printed: `--help` does without.
"""


def document(value: object) -> bytes:
    """One object or list, indented, with a line end. Values inside keep their numbers' text."""
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def line(value: object) -> bytes:
    """One object on one line: what streams are made of."""
    import msgspec

    return msgspec.json.encode(value) + b"\n"
