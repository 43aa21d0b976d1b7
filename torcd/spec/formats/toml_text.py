"""TOML written, in the form that `toml` reads: by tomli_w, but for the order of keys in data."""

from collections.abc import Sequence

import msgspec
import tomli_w

from torcd.spec import data
from torcd.spec.data import WrittenNumber
from torcd.spec.formats import Unwritable
from torcd.spec.problems import Path
from torcd.spec.schema import ANY_JSON, ANY_JSON_OF_USER_DATA, WorkflowSpec

_MAX_DIGITS = 4_300
"""Of an integer, as Python reads it."""

OTHER_FORMAT = "write the spec in JSON5, YAML or KDL"


def dump(spec: WorkflowSpec) -> str:
    tree = data.decode(msgspec.json.encode(spec))
    assert isinstance(tree, dict)
    _refuse_unwritable(tree, ())
    _put_in_line(tree, ANY_JSON)
    for item in tree.get("user_data", ()):
        _put_in_line(item, ANY_JSON_OF_USER_DATA)
    return tomli_w.dumps(tree)


def _put_in_line(tree: dict[str, object], fields: Sequence[str]) -> None:
    for field in fields:
        if field in tree and not _keeps_its_order(tree[field]):
            tree[field] = _Inline(_inline(tree[field]))


def _keeps_its_order(value: object) -> bool:
    """Whether it does where tomli_w makes tables, which come after all other keys: of mappings
    always, and of lists of mappings as it likes."""
    if isinstance(value, list):
        return all(map(_keeps_its_order, value))
    if not isinstance(value, dict):
        return True
    table_before = False
    for item in value.values():
        if table_before and not isinstance(item, dict):
            return False
        table_before = table_before or isinstance(item, dict) or _is_list_of_mappings(item)
    return all(map(_keeps_its_order, value.values()))


def _is_list_of_mappings(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


class _Inline(float):
    """A value that tomli_w puts where a number would stand: its text, which `str` tells."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> "_Inline":
        value = super().__new__(cls)
        value.text = text
        return value

    def __str__(self) -> str:
        return self.text


def _inline(value: object) -> str:
    if isinstance(value, dict):
        pairs = [f"{_inline_key(key)} = {_inline(item)}" for key, item in value.items()]
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    return tomli_w.dumps({"k": value}).removeprefix("k = ").rstrip("\n")


def _inline_key(key: str) -> str:
    return tomli_w.dumps({key: 0}).removesuffix(" = 0\n")


def _refuse_unwritable(value: object, path: Path) -> None:
    match value:
        case dict():
            for key, item in value.items():
                _refuse_unwritable(item, (*path, key))
        case list():
            for n, item in enumerate(value):
                _refuse_unwritable(item, (*path, n))
        case None:
            raise Unwritable(path, "TOML has no null", OTHER_FORMAT)
        case WrittenNumber() if value.text == "-0":
            raise Unwritable(path, "TOML knows no -0 but the float -0.0", OTHER_FORMAT)
        case WrittenNumber() if value.text.isdigit() or value.text[1:].isdigit():
            if len(value.text) > _MAX_DIGITS:
                message = f"TOML is read with integers of at most {_MAX_DIGITS} characters"
                raise Unwritable(path, message, OTHER_FORMAT)
        case _:
            pass
