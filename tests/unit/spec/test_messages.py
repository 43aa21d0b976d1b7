"""Each kind of problem, as people see it: what is said of `golden/NAME` is `golden/NAME.txt`.

`make golden` renews them after a change that was meant.
"""

from pathlib import Path

import pytest

from tests.unit.spec import messages
from torcd import spec
from torcd.errors import InvalidSpec

pytestmark = pytest.mark.xdist_group("messages")  # all are heard once, by one process

NOT_GOLDEN = {
    ("together.py", "which {who} has added"): "only the daemon knows; test_adding.py",
    ("together.py", "already, and not from"): "only the daemon knows; test_adding.py",
    ("adding.py", "with these, {count} jobs"): "only the daemon knows; test_adding.py",
    ("adding.py", "message = ("): "only the daemon knows; test_adding.py",
    ("adding.py", "add fewer, or set"): "only the daemon knows; test_adding.py",
    ("data.py", "half of a surrogate pair"): "no format lets one through",
    ("data.py", "is not JSON"): "no format has any other type",
    ("document.py", "MiB"): "a file of 64 MiB",
    ("document.py", "let parameters make"): "a file of 64 MiB",
    ("document.py", "standard input"): "no file; test_hints.py",
    ("dumping.py", "_refused"): "no file is read; test_dumping.py",
    ("formats/toml_text.py", "of at most"): "no file is read; test_dumping.py",
    ("elements.py", "TOO_LONG"): "half a billion characters",
    ("unfolding.py", "message = ("): "a million elements; test_for_each.py",
    ("unfolding.py", "if section == "): "a million elements; test_for_each.py",
    ("data_expansion.py", "error.message"): "a value of 16 MiB",
    ("formats/toml.py", "TOO_DEEP"): "a full stack, which ends the looking on; too_deep.toml",
    ("formats/toml.py", "{problem}"): "only with Python's limit of digits turned down",
    ("formats/toml.py", "{words}"): "tomllib has always told a place",
    ("parameters.py", "and there may be"): "a million values",
    ("policy_expansion.py", "this is not JSON"): "only of structs made in Python",
    ("parameters.py", "a list may have"): "a million values",
    ("schemas.py", "takes too long"): "a minute of schemas; test_policies.py",
    ("schemas.py", "cannot be checked"): "a minute of schemas; test_policies.py",
    ("regexes.py", "the regexes of all jobs find"): "five million names",
    ("regexes.py", "let one job wait"): "five million names",
    ("regexes.py", 'findings.append(Finding(("jobs"'): "five million names",
}
"""What no golden spec says, by the file and a part of the line, and why: most are too large."""


@pytest.mark.parametrize("path", messages.SPECS, ids=lambda path: path.name)
def test_of_a_doubtful_spec_the_golden_words_are_said(path: Path) -> None:
    heard, _ = messages.everything_heard()
    assert heard[path].text == messages.golden(path).read_text()


def test_there_is_nothing_to_say_that_no_golden_spec_brings_out() -> None:
    excused: dict[tuple[str, str], str] = {}
    silent = []
    for site in messages.silent_sites():
        known = [key for key in NOT_GOLDEN if site.startswith(f"{key[0]}:") and key[1] in site]
        excused.update((key, site) for key in known)
        if not known:
            silent.append(site)
    assert silent == []
    assert excused.keys() == NOT_GOLDEN.keys()


def test_each_golden_text_has_its_spec() -> None:
    texts = {path.name for path in messages.GOLDEN.glob("*.txt")}
    assert texts == {messages.golden(path).name for path in messages.SPECS}


def test_messages_are_short_and_of_one_line_each() -> None:
    for path in messages.SPECS:
        for line in messages.golden(path).read_text().splitlines():
            assert line.startswith(f"{path.name}:"), line
            assert line.isprintable(), line
            assert len(line) < 320, line


@pytest.mark.parametrize("path", messages.SPECS, ids=lambda path: path.name)
def test_the_facts_are_the_same_problems_as_the_message(path: Path) -> None:
    heard, _ = messages.everything_heard()
    assert [str(problem) for problem in heard[path].problems] == heard[path].text.splitlines()


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
