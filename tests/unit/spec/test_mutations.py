"""Specs with something broken in them: read, or refused at a place that is there."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.spec.messages import GOLDEN
from torcd import spec
from torcd.errors import InvalidSpec

EXAMPLES = Path(__file__).parents[3] / "configs" / "examples"
SLOW = {"bad_regexes.json5", "bounds.json5", "too_many.json5"}
"""They take their time as they stand."""

CORPUS = {
    suffix: sorted(
        (
            path.read_bytes()
            for folder in (GOLDEN, EXAMPLES)
            for path in folder.rglob(f"*.{suffix}")
            if path.name not in SLOW and path.stat().st_size < 10_000
        ),
        key=len,
    )
    for suffix in ("json5", "yaml", "toml", "kdl")
}

TOKEN = re.compile(rb"\w+|\s+|[^\w\s]")

PIECES = [
    *(b"\0 \n \r \t \xff \xc3 \xef\xbb\xbf \xe2\x80\xa8 \xed\xa0\x80 \x1b ' \" \\".split(b" ")),
    *(b"{ } [ ] ( ) : = , ; # / // /* */ /- <<: & * ! | > - ? % @ ` ~ \"\"\" '''".split(b" ")),
    *(b"\\ud800 \\u0000 \\x00 &a *a !!int !!bool --- ... 1e999 -0 0x 9e9 NaN {i} ${".split(b" ")),
    *(b'${files.input.x} null true 1:3 [[ ]] r#" "# 99999999999999999999'.split(b" ")),
]


def mutated(text: bytes, other: bytes, draw: st.DrawFn) -> bytes:
    """With a few flips, cuts, doublings, insertions, and pieces of another."""
    for _ in range(draw(st.integers(1, 4))):
        tokens = TOKEN.findall(text) or [b""]
        n = draw(st.integers(0, len(tokens) - 1))
        m = draw(st.integers(n, min(len(tokens) - 1, n + 20)))
        match draw(st.sampled_from(["flip", "cut", "end", "double", "insert", "splice", "swap"])):
            case "flip" if text:
                place = draw(st.integers(0, len(text) - 1))
                bit = 1 << draw(st.integers(0, 7))
                text = text[:place] + bytes([text[place] ^ bit]) + text[place + 1 :]
                continue
            case "cut":
                del tokens[n : m + 1]
            case "end":
                del tokens[m:]
            case "double":
                tokens[m:m] = tokens[n : m + 1]
            case "insert":
                tokens.insert(n, draw(st.sampled_from(PIECES)))
            case "splice":
                others = TOKEN.findall(other)
                start = draw(st.integers(0, len(others)))
                tokens[n:m] = others[start : start + draw(st.integers(0, 30))]
            case "swap":
                tokens[n], tokens[m] = tokens[m], tokens[n]
        text = b"".join(tokens)
    return text


@st.composite
def mutations(draw: st.DrawFn, suffix: str) -> bytes:
    source = st.sampled_from(CORPUS[suffix])
    return mutated(draw(source), draw(source), draw)


def check(text: bytes, file: str) -> None:
    try:
        document = spec.read(text, file=file)
    except InvalidSpec as error:
        problems = error.facts["problems"]
        message = str(error)
    else:
        spec.expand(document.spec, directory="/d", default_name="w")
        problems, message = [], ""
    # The lines as an editor shows them.
    lines = re.split("\r\n|\r|\n", text.decode(errors="replace").removeprefix("\ufeff"))
    assert isinstance(problems, list)
    for problem in problems:
        line, column = problem.get("line"), problem.get("column")
        assert (line is None) == (column is None)
        assert line is None or 1 <= line <= len(lines)
        assert line is None or 1 <= column <= len(lines[line - 1]) + 1
    for said in message.splitlines():
        assert said.isprintable()
        assert len(said) < 1_000
    assert not problems or message.startswith(file)


@pytest.mark.parametrize("suffix", sorted(CORPUS))
def test_a_broken_spec_is_read_or_refused_at_a_place_that_is_there(suffix: str) -> None:
    assert len(CORPUS[suffix]) > 15

    @settings(deadline=None, max_examples=settings.default.max_examples * 3 // 2)
    @given(mutations(suffix))
    def broken(text: bytes) -> None:
        check(text, f"w.{suffix}")

    broken()
