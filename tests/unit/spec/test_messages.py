"""Each kind of problem, as people see it: what is said of `golden/NAME` is `golden/NAME.txt`."""

from pathlib import Path

import msgspec
import pytest

from torcd import spec
from torcd.errors import InvalidSpec

GOLDEN = Path(__file__).parent / "golden"
SPECS = sorted(path for path in GOLDEN.iterdir() if path.suffix != ".txt")


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_a_wrong_spec_is_refused_in_the_golden_words(path: Path) -> None:
    with pytest.raises(InvalidSpec) as refused:
        spec.read(path.read_bytes(), file=path.name)
    assert f"{refused.value}\n" == path.with_name(f"{path.name}.txt").read_text()


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_the_facts_are_the_same_problems_as_the_message(path: Path) -> None:
    with pytest.raises(InvalidSpec) as refused:
        spec.read(path.read_bytes(), file=path.name)
    problems = msgspec.convert(refused.value.facts["problems"], list[spec.Problem])
    assert [str(problem) for problem in problems] == str(refused.value).splitlines()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (
            "spec.txt",
            'spec.txt: the suffix ".txt" is of no known format '
            "(name it .json5, .json, .yaml, .yml, .toml, .kdl, or say --spec-format)",
        ),
        (
            "spec",
            "spec: it has no suffix "
            "(name it .json5, .json, .yaml, .yml, .toml, .kdl, or say --spec-format)",
        ),
    ],
)
def test_a_file_of_no_known_format_is_refused(file: str, message: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        spec.read(b"{}", file=file)
    assert str(refused.value) == message


def test_a_byte_that_is_not_utf8_is_told_of_behind_a_byte_order_mark_too() -> None:
    with pytest.raises(InvalidSpec) as refused:
        spec.read(b"\xef\xbb\xbf{\n\xe9", file="w.json5")
    assert str(refused.value) == "w.json5:2:1: not UTF-8: the byte 0xe9 (save it as UTF-8)"


def test_a_spec_that_is_wrong_throughout_is_told_of_in_part() -> None:
    jobs = ",".join(['{command: "true", depends_on: ["nobody"]}'] * 1500)
    with pytest.raises(InvalidSpec) as refused:
        spec.read(f"{{jobs: [{jobs}]}}".encode(), file="w.json5")
    lines = str(refused.value).splitlines()
    assert len(lines) == 1001
    assert lines[-1] == "… and 500 more problems"
    problems = refused.value.facts["problems"]
    assert isinstance(problems, list)
    assert len(problems) == 1000
    assert refused.value.facts["more"] == 500


@pytest.mark.parametrize("text", [b"null", b"3", b"[]", b'"x"'])
def test_what_is_no_mapping_is_no_spec(text: bytes) -> None:
    with pytest.raises(InvalidSpec, match=r"^expected a mapping, found"):
        spec.decode(text)
