"""A `WorkflowSpec` becomes a file: what is read from it again is equal to it.

What the structs' own types refuse is told as it is for a file. What breaks the rules beyond them
(unknown names, circles) is not looked for here: whoever reads the file is told.
"""

import msgspec

from torcd import json_text
from torcd.spec import data, formats, structure
from torcd.spec.problems import Finding, Path, invalid, most_important, problems
from torcd.spec.schema import ANY_JSON, ANY_JSON_OF_USER_DATA, WorkflowSpec


def dump(spec: WorkflowSpec, *, format: str = "json5") -> bytes:  # noqa: A002
    """The text of a spec in a format of `formats.FORMATS`: json5, json, yaml, toml or kdl.

    Numbers of user_data keep their texts. Raises InvalidSpec for what is of a wrong type, and for
    what the format has no words for: TOML has no null, and no integers of thousands of digits.
    """
    try:
        tree = data.decode(bytes(json_text.encode(spec)))
    except json_text.Unsayable as e:
        raise _refused([Finding((), str(e))]) from None
    except (ValueError, RecursionError):
        raise _refused(_wrong_texts(spec)) from None
    decoded = structure.decode(tree)
    if decoded.findings:
        raise _refused(decoded.findings)
    try:
        text = formats.by_name(format).dump(decoded.spec)
    except formats.Unwritable as e:
        raise _refused([Finding(e.path, e.message, e.hint)]) from None
    return text.encode()


def _wrong_texts(spec: WorkflowSpec) -> list[Finding]:
    """What stands as JSON text in a spec, and is none."""
    texts: list[tuple[Path, object]] = [((field,), getattr(spec, field)) for field in ANY_JSON]
    for n, item in enumerate(spec.user_data or ()):
        texts += [(("user_data", n, f), getattr(item, f)) for f in ANY_JSON_OF_USER_DATA]
    findings: list[Finding] = []
    for path, text in texts:
        if isinstance(text, msgspec.Raw):
            encoded = data.encode(text, path)
            findings += encoded if isinstance(encoded, list) else []
    return findings


def _refused(findings: list[Finding]) -> Exception:
    worst = most_important(findings)
    return invalid(problems(worst, file="", positions={}), more=len(findings) - len(worst))
