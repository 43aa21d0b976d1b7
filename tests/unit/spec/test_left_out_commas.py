"""A line break may stand for a comma in JSON5, as in torc's own documents."""

import pytest

from torcd import spec
from torcd.errors import InvalidSpec

TORCS_DOCUMENT = """{
user_data: [ { name: "output_data1", } ]
jobs: [ { command: "python work1.py", output_user_data: ["output_data1"], },
        { command: "python work2.py", input_user_data: ["output_data1"], } ]
}
"""


def _read(text: str) -> spec.WorkflowSpec:
    return spec.read(text.encode(), file="torc.json5").spec


def test_torcs_document_loads_as_it_stands() -> None:
    found = _read(TORCS_DOCUMENT)
    assert [data.name for data in found.user_data or ()] == ["output_data1"]
    assert [job.command for job in found.jobs or ()] == ["python work1.py", "python work2.py"]


def test_a_line_break_stands_for_a_comma_between_members_and_between_items() -> None:
    found = _read(
        """{
        name: "w"  // a comment, with a comma and a [
        /* another
           one */
        env: { A: "1"
               B: "two\\
lines" }
        jobs: [
          { command: ["a"
                      "b"] }
          { command: "c" }
        ]
        }"""
    )
    assert found.name == "w"
    assert found.env == {"A": "1", "B": "twolines"}
    assert [job.command for job in found.jobs or ()] == [("a", "b"), "c"]


def test_problems_are_told_at_their_place_where_commas_were_left_out() -> None:
    with pytest.raises(InvalidSpec) as caught:
        _read('{\n  name: "w" // no comma\n  nmae: "x"\n  jobs: [{command: "a"}]\n}')
    (problem,) = caught.value.facts["problems"]
    assert (problem["line"], problem["column"]) == (3, 3)


@pytest.mark.parametrize(
    "text",
    [
        '{ name: "w" jobs: [{command: "a"}] }',
        '{ jobs: [{command: "a"} {command: "b"}] }',
        '{\n name\n "w", jobs: [{command: "a"}] }',
        '{\n name: "w"\n jobs [{command: "a"}] }',
    ],
)
def test_on_one_line_or_in_place_of_a_colon_nothing_stands_for_what_is_missing(text: str) -> None:
    with pytest.raises(InvalidSpec):
        _read(text)
