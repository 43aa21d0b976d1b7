"""What people are told to write instead, where they wrote what newcomers write."""

import pytest

from torcd import spec
from torcd.errors import InvalidSpec


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("jobs: {a: {command: x}}", "write a list: [{…}], or in TOML [[jobs]]"),
        (
            "{jobs: [{command: x}], failure_handlers: [{name: h, rules: {on: [oom]}}]}",
            "write a list: [{…}], or in TOML [[failure_handlers.rules]]",
        ),
        ("jobs: [{command: x, depends_on: {a: b}}]", None),
    ],
)
def test_a_mapping_in_place_of_a_list_of_mappings_is_told_how_to_write_it(
    text: str, hint: str | None
) -> None:
    with pytest.raises(InvalidSpec) as refused:
        spec.read(text.encode(), file="spec.yaml")
    (problem,) = refused.value.facts["problems"]
    assert problem.get("hint") == hint


def test_standard_input_in_another_format_is_told_that_it_is_read_as_json5() -> None:
    with pytest.raises(InvalidSpec, match=r"standard input is read as JSON5; .* --spec-format"):
        spec.read(b"jobs:\n  - command: x\n", file="-")
    with pytest.raises(InvalidSpec) as refused:
        spec.read(b"jobs:\n\t- command: x\n", file="-", format="yaml")
    assert "--spec-format" not in str(refused.value)
