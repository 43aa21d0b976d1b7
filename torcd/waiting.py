"""What jobs wait for, in words: in a plan, in an explanation, and in a message about a cycle.

Names come quoted, since how is for the caller to say.
"""

from collections.abc import Sequence

from torcd.model import Kind


def why(kind: Kind, name: str, by: str = "depends_on") -> str:
    """Of one job that waits for another: `by depends_on`, `through file "f"`."""
    return f"by {by}" if kind == "job" else f"through {kind} {name}"


def thing(kind: Kind, name: str, path: str | None = None) -> str:
    """`file "f" (/path)`."""
    return f"{kind} {name} ({path})" if path is not None else f"{kind} {name}"


def unmade(what: str) -> str:
    """Of an input that has to be there, or somebody has to bring."""
    return f"{what}, which no job makes"


def listed(names: Sequence[str], most: int, *, between: str = ", ") -> str:
    """`"a", "b" and 3 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return between.join(names[:most]) + more
