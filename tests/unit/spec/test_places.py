"""Where things are in a text: every key and list item is found at its own place."""

import json
import re
import tomllib
import tracemalloc

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from torcd.spec.formats import by_name, kdl_reading, toml
from torcd.spec.problems import Path, Position

KEYS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=4)
VALUES = st.recursive(
    st.booleans() | st.integers(-9, 9) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
TREES = st.dictionaries(KEYS, VALUES, min_size=1, max_size=4)


def paths_in(tree: object, path: Path = ()) -> dict[Path, object]:
    """Every path below the top, and what is there."""
    found: dict[Path, object] = {}
    items: list[tuple[str | int, object]] = []
    if isinstance(tree, dict):
        items = list(tree.items())
    elif isinstance(tree, list):
        items = list(enumerate(tree))
    for part, value in items:
        found[(*path, part)] = value
        found |= paths_in(value, (*path, part))
    return found


def rest_at(text: str, position: Position) -> str:
    return "\n".join(text.split("\n")[position.line - 1 :])[position.column - 1 :]


@settings(deadline=None)
@given(TREES, st.sampled_from([None, 1]))
def test_json5_places_are_those_of_keys_and_items(tree: object, indent: int | None) -> None:
    text = json.dumps(tree, indent=indent)
    paths = paths_in(tree)
    places = by_name("json5").locate(text, paths.keys())
    assert places.keys() == paths.keys()
    for path, value in paths.items():
        rest = rest_at(text, places[path])
        if isinstance(path[-1], str):
            assert rest.startswith(f"{json.dumps(path[-1])}:")
        else:
            assert json.JSONDecoder().raw_decode(rest)[0] == value
    assert len(set(places.values())) == len(paths)


@settings(deadline=None)
@given(TREES)
def test_yaml_places_of_the_same_text_are_the_same(tree: object) -> None:
    text = json.dumps(tree)
    paths = paths_in(tree).keys()
    assert by_name("yaml").locate(text, paths) == by_name("json5").locate(text, paths)


TOML_KEY = re.compile(r'"(?:[^"\\]|\\.)*"|[A-Za-z0-9_-]+')


@settings(deadline=None)
@given(TREES)
def test_toml_places_are_those_of_keys_items_and_headers(tree: dict[str, object]) -> None:
    text = tomli_w.dumps(tree)
    paths = paths_in(tree)
    places = by_name("toml").locate(text, paths.keys())
    assert places.keys() == paths.keys()
    for path, value in paths.items():
        rest = rest_at(text, places[path])
        line = text.split("\n")[places[path].line - 1]
        if line.startswith("[") and places[path].column <= 3:
            key = TOML_KEY.match(rest)
            assert key
            assert next(iter(tomllib.loads(f"{key[0]} = 0"))) == path[0]
        elif isinstance(path[-1], str):
            key = TOML_KEY.match(rest)
            assert key
            assert next(iter(tomllib.loads(f"{key[0]} = 0"))) == path[-1]
        elif not isinstance(value, dict | list):
            assert rest.startswith(json.dumps(value).replace("\x7f", "\\u007f"))


@pytest.mark.parametrize("name", ["json5", "yaml", "toml"])
def test_a_path_that_is_not_there_has_no_place(name: str) -> None:
    text = {"json5": "{a: [1]}", "yaml": "a: [1]", "toml": "a = [1]"}[name]
    paths: set[Path] = {("a",), ("a", 0), ("a", 1), ("a", "b"), ("b",), ("a", 0, "c")}
    assert by_name(name).locate(text, paths).keys() == {("a",), ("a", 0)}


@pytest.mark.parametrize("tokens", [kdl_reading._TOKENS, toml._TOKENS], ids=["kdl", "toml"])
@pytest.mark.parametrize("turn", ["a", "\\n", '""a', "\n"])
def test_a_long_text_is_passed_over_in_little_memory(tokens: re.Pattern[str], turn: str) -> None:
    text = f'"""{turn * 100_000}"""'
    tracemalloc.start()
    match = tokens.match(text)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert match is not None
    assert match.end() == len(text)
    assert peak_bytes < len(text)
