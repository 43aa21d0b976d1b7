"""Large values are looked at by a process of its own, with the same outcome."""

import sys
from pathlib import Path

import pytest

from torcd import errors, value
from torcd.controller import parsing

LARGE = b"x" * parsing.LARGE_BYTES
LIMIT = 4 * parsing.LARGE_BYTES


@pytest.mark.parametrize(
    "text",
    [
        b'"%s"' % LARGE,
        b'"%s\\n\\u00e9\xc3\xa9"' % LARGE,
        b' \n["%s", 1.50, {"b": 1, "a": 2}]\t' % LARGE,
        b'"%s' % LARGE,
        b'["%s", NaN]' % LARGE,
        b'"%s\xff"' % LARGE,
        b'"%s\\ud800"' % LARGE,
        b'%s"%s"%s' % (b"[" * 70, LARGE, b"]" * 70),
        b"[" * (parsing.LARGE_BYTES + 1),
        b" " * (parsing.LARGE_BYTES + 1),
        b'"small"',
        b"NaN",
        b"x" * (LIMIT + 1),
    ],
    ids=lambda text: f"{len(text)} bytes: {text[:8]!r}",
)
def test_a_value_is_taken_or_refused_as_always(text: bytes) -> None:
    try:
        expected: object = value.parse(text, name="v", max_bytes=LIMIT)
    except errors.UserError as error:
        expected = type(error), error.message, error.facts
    try:
        found: object = parsing.parse(text, name="v", max_bytes=LIMIT)
    except errors.UserError as error:
        found = type(error), error.message, error.facts
    assert found == expected


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("import sys; sys.exit('a value')", "the process that looks at it has ended"),
        ("import os; os.kill(os.getpid(), 9)", "the process that looks at it has ended"),
        ("import time; time.sleep(100)", "it could not be looked at within"),
    ],
)
def test_when_that_process_does_not_answer_the_value_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, problem: str
) -> None:
    script = tmp_path / "python"
    script.write_text(f"#!{sys.executable}\n{program}\n")
    script.chmod(0o700)
    monkeypatch.setattr(parsing.sys, "executable", str(script))
    monkeypatch.setattr(parsing, "PATIENCE_SECONDS", 0.5)
    with pytest.raises(errors.InvalidValue, match=problem):
        parsing.parse(b'["%s"]' % LARGE, name="v", max_bytes=LIMIT)


def test_one_string_of_plain_characters_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing.sys, "executable", "/nonexistent/python")
    for text in (b'"%s"' % LARGE, b'"%s\\n"' % LARGE):
        assert parsing.parse(text, name="v", max_bytes=LIMIT) == value.parse(text, name="v")
    for text in (b'"%s\xc3\xa9"' % LARGE, b'"%s\\u0100"' % LARGE, b'["%s"]' % LARGE):
        with pytest.raises(errors.InvalidValue, match="cannot be started"):
            parsing.parse(text, name="v", max_bytes=LIMIT)


def test_when_it_cannot_be_started_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing.sys, "executable", "/nonexistent/python")
    with pytest.raises(errors.InvalidValue, match="cannot be started"):
        parsing.parse(b'["%s"]' % LARGE, name="v", max_bytes=LIMIT)
