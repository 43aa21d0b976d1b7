"""Texts that mean harm, or are no text: each is read or refused at once, with little memory.

Each is read in a process of its own, whose time on the CPU and whose peak of memory are counted:
so a machine that is busy with something else makes no difference.
"""

import codecs
import gc
import os
import resource
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import pytest

from torcd import spec
from torcd.errors import InvalidSpec
from torcd.spec import formats

MAX_CPU_SECONDS = 1
MAX_MIB = 100

JOB = {
    "json5": "{{jobs: [{{command: 'x'}}], {}}}",
    "yaml": "jobs: [{{command: x}}]\n{}\n",
    "toml": "{}\n[[jobs]]\ncommand = 'x'\n",
    "kdl": 'job "a" {{ command "x"; }}\n{}\n',
}
"""A right spec of each format, with room for one more field."""


class Outcome(msgspec.Struct):
    said: str
    """`read`, or what it was refused with; `bug` and the error for anything else."""
    cpu_seconds: float
    mib: float


def read(text: bytes, file: str) -> Outcome:
    """In a child, so that its memory is its own, and its end ours."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        gc.freeze()  # what the tests have in memory is not looked through again and again
        outcome = _read_here(text, file)
        os.write(writer, msgspec.json.encode(outcome))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    assert answer, f"the process ended with {status}"
    return msgspec.json.decode(answer, type=Outcome)


def _read_here(text: bytes, file: str) -> Outcome:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    before = resource.getrusage(resource.RUSAGE_SELF)
    try:
        spec.read(text, file=file)
        said = "read"
    except InvalidSpec as error:
        said = str(error)[:10_000]
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
        said = f"bug: {error!r}"
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Outcome(said, cpu_seconds, (after.ru_maxrss - before.ru_maxrss) / 1024)


@pytest.fixture(autouse=True, scope="module")
def _everything_is_imported() -> None:
    """What the first reading brings in is not counted."""
    for name in set(formats.FORMATS.values()):
        formats.by_name(name)
    with pytest.raises(InvalidSpec):
        spec.read(b"{jobs: [], user_data: [{name: 'd', schema: 5}]}", file="w.json5")


# Deep


def nested(name: str, depth: int) -> Iterator[tuple[str, str]]:
    """A kind of nesting, and a text of it."""
    assign = "=" if name == "toml" else ":"
    for kind, opening, closing in (
        ("lists", "[", "]"),
        ("mappings", f"{{a{assign} ", "}"),
        ("mixed", f"[{{a{assign} ", "}]"),
    ):
        yield kind, opening * depth + "1" + closing * depth
        yield f"open {kind}", opening * depth


def deep_cases() -> Iterator[tuple[str, str, str]]:
    for name in ("json5", "yaml", "toml"):
        assign = " = " if name == "toml" else ": "
        for depth in (10_000, 100_000):
            for kind, text in nested(name, depth):
                for field in ("unknown", "config", "env", "parameters", "jobs", "user_data"):
                    yield (
                        f"{depth} {kind} in {field}",
                        name,
                        JOB[name].format(field + assign + text),
                    )
                item = f"[{{name{assign}'d', data{assign}{text}}}]"
                field = f"user_data{assign}{item}"
                yield f"{depth} {kind} in data", name, JOB[name].format(field)
                field = field.replace("data" + assign + text[:1], "schema" + assign + text[:1])
                yield f"{depth} {kind} in schema", name, JOB[name].format(field)
    for depth in (10_000, 100_000):
        braces = "{ a " * depth + "{ b 1 }" + "}" * depth
        for field in ("unknown", "config", "env", "parameters"):
            yield f"{depth} braces in {field}", "kdl", JOB["kdl"].format(f"{field} {braces}")
        for field in ("data", "schema"):
            lists = "[" * depth + "]" * depth
            item = f'user_data "u" {field}="{lists}"'
            yield f"{depth} lists in {field}", "kdl", JOB["kdl"].format(item)
        yield f"{depth} open comments", "kdl", "/*" * depth
        yield f"{depth} jobs in jobs", "kdl", "job {" * depth + "}" * depth
        yield f"{depth} items", "yaml", "- " * depth
        yield f"{depth} keys", "yaml", "? " * depth
        yield f"{depth} parts of a key", "toml", ".".join("a" * depth) + " = 1"
        yield f"{depth} parts of a header", "toml", f"[{'.'.join('a' * depth)}]"
    yield "blocks", "yaml", "".join(f"{' ' * n}a:\n" for n in range(1_000))


@pytest.mark.parametrize("name", sorted(JOB))
def test_deep_nesting_is_refused_at_once(name: str) -> None:
    cases = [(what, text) for what, format_, text in deep_cases() if format_ == name]
    assert len(cases) > 10
    check(name, cases, refused=True)


# Long


def numbers(length: int) -> dict[str, str]:
    return {
        "digits": "9" * length,
        "negative": "-" + "9" * length,
        "plus": "+" + "9" * length,
        "decimals": "0." + "9" * length,
        "exponent": "1e" + "9" * length,
        "hexadecimal": "0x" + "f" * length,
        "octal": "0o" + "7" * length,
        "binary": "0b" + "1" * length,
        "underscores": "9_" * (length // 2) + "9",
        "zeros": "0" * length,
        "dots": "." * length,
        "minuses": "-" * length,
        "exponents": "1e" * (length // 2),
        "times": "1:" * (length // 2) + "1",
    }


NUMBER_PLACES = {
    "json5": [
        "priority: {}",
        "jobs: [{{command: 'x{{i}}', parameters: {{i: {}}}}}]",
        "user_data: [{{name: 'd', data: [{}]}}]",
        "{}: 1",
        "description: '{}'",
    ],
    "yaml": [
        "priority: {}",
        "files: [{{name: 'x{{i}}', path: y, parameters: {{i: {}}}}}]",
        "user_data: [{{name: d, data: [{}]}}]",
        "{}: 1",
        "description: '{}'",
    ],
    "toml": [
        "priority = {}",
        "files = [{{name = 'x{{i}}', path = 'y', parameters = {{i = {}}}}}]",
        "user_data = [{{name = 'd', data = [{}]}}]",
        "{} = 1",
        "description = '{}'",
    ],
    "kdl": [
        "priority {}",
        'file "x{{i}}" path="y" {{ parameters i={} ; }}',
        'user_data "d" {{ data {} ; }}',
        'user_data "d" data="{}"',
        'description "{}"',
    ],
}


@pytest.mark.parametrize("name", sorted(JOB))
def test_numbers_of_a_million_digits_are_read_or_refused_at_once(name: str) -> None:
    check(
        name,
        [
            (f"{kind} in {place}", JOB[name].format(place.format(number)))
            for kind, number in numbers(1_000_000).items()
            for place in NUMBER_PLACES[name]
        ],
    )


def test_wide_formats_of_many_values_are_refused_before_they_are_made() -> None:
    for form in ("01000d", ">1000", "+0999.3f"):
        text = f"{{jobs: [{{command: 'x{{i:{form}}}', parameters: {{i: '1:1000000'}}}}]}}"
        outcome = read(text.encode(), "w.json5")
        assert "the copies of all texts come to more than" in outcome.said
        assert outcome.mib < MAX_MIB


JUNK = [
    *(b"a [ { \" ' \\ # / - : = , 0 . | ! @ ` % \t < > ~ \xff \xc3\xa9".split(b" ")),
    *(b'// /* /*/ """ \'\'\' \\\\ [] {} [[a]] a. {a: a, job{}; <<: /- "a\\" r#" 1e'.split(b" ")),
    *(b"\n", b"\r", b"\r\n", b" ", b"a\n", b"a:\n", b"a: b\n", b"a = 1\n", b"- a\n", b"- - "),
    *(
        b"? ",
        b": ",
        b"&a ",
        b"*a ",
        b"|\n",
        b"---\n",
        b"[a]\n",
        b"\\\n",
        b"; ",
        b"\xe2\x80\xa8",
        b"\0",
    ),
]


@pytest.mark.parametrize("name", sorted(JOB))
def test_junk_of_200_kb_is_refused_at_once(name: str) -> None:
    cases = [(repr(junk), junk * (200_000 // len(junk))) for junk in JUNK]
    check(name, cases, refused=True)


def test_what_is_larger_than_any_spec_is_not_looked_at() -> None:
    text = b"x" * (spec.MAX_BYTES + 1)
    for name in JOB:
        outcome = read(text, f"w.{name}")
        assert "the spec has more than 64 MiB" in outcome.said
        assert outcome.cpu_seconds < MAX_CPU_SECONDS


# YAML's own


def alias_cases() -> Iterator[tuple[str, str]]:
    ten = ",".join(["*{}"] * 10)
    bomb = "".join(f"{' ' * 3}- &a{n} [{ten.format(*[f'a{n - 1}'] * 10)}]\n" for n in range(1, 20))
    head = "jobs: [{command: x}]\nuser_data:\n- name: d\n  data:\n"
    yield "items", f"{head}   - &a0 [x]\n{bomb}"
    long = f"   - &a {'x' * 100_000}\n"
    yield "text", f"{head}{long}   - [{','.join(['*a'] * 100_000)}]\n"
    yield "keys", f"{head}   - &a {{{'x' * 1000}: 1}}\n   - [{','.join(['*a'] * 100_000)}]\n"
    merges = "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40))
    yield "merges", f"a0: &a0 {{k: 1}}\n{merges}"
    yield "its own", "jobs: &a [*a]\n"
    yield "its own key", "? &a {? *a : 1}\n: 1\n"
    yield "its own merge", "jobs:\n- &a {<<: *a}\n"


def test_aliases_stand_for_no_more_than_a_value_may_hold() -> None:
    check("yaml", list(alias_cases()), refused=True)


def test_many_aliases_of_something_small_are_read() -> None:
    text = "jobs:\n- &a {command: x}\n" + "- *a\n" * 20_000
    assert read(text.encode(), "w.yaml").said == "read"


TAGS = [
    *("!!python/object:os.system", "!!python/object/apply:os.system [id]", "!!binary aGk=", "!x y"),
    *("!!set {a}", "!!omap [a: 1]", "!!pairs [a: 1]", "!!bool x", "!!int ''", "!!int '-'"),
    *("!!float {a: 1}", "!!float ''", "!!null [1]", "!!str [1]", "!!map [1]", "!!seq {a: 1}"),
    *("!!int 0x", "!!float x", "!<y> z", "!!merge x", "!e!x y", "!!map x", "!!seq x"),
]


def test_tags_make_nothing_but_plain_values() -> None:
    for tag in TAGS:
        outcome = read(f"jobs: [{{command: x}}]\nconfig: {tag}\n".encode(), "w.yaml")
        assert outcome.said.startswith("w.yaml:2:9: "), (tag, outcome.said)


# Bytes

LINES = {
    "json5": '{jobs: [\n  {command: "a"},\n  {comand: "b"},\n]}\n',
    "yaml": 'jobs:\n- command: "a"\n- comand: "b"\n',
    "toml": '[[jobs]]\ncommand = "a"\n[[jobs]]\ncomand = "b"\n',
    "kdl": 'job "a" {\n  command "a"\n}\njob "b" {\n  comand "b"\n}\n',
}
"""With one mistake, on its third line or fourth."""


def refusal(text: bytes, file: str) -> str:
    with pytest.raises(InvalidSpec) as refused:
        spec.read(text, file=file)
    return str(refused.value)


@pytest.mark.parametrize("name", sorted(LINES))
def test_line_breaks_and_a_mark_at_the_start_move_no_place(name: str) -> None:
    text = LINES[name]
    expected = refusal(text.encode(), f"w.{name}")
    assert "comand" in expected
    for other in (text.replace("\n", "\r\n"), text.replace("\n", "\r")):
        assert refusal(other.encode(), f"w.{name}") == expected
        assert refusal(codecs.BOM_UTF8 + other.encode(), f"w.{name}") == expected
    with_breaks = text.replace('"a"', '"\u2028a\x85"')
    assert refusal(with_breaks.encode(), f"w.{name}") == expected


@pytest.mark.parametrize("name", sorted(LINES))
def test_other_encodings_are_told_at_their_first_byte(name: str) -> None:
    text = LINES[name]
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"):
        said = refusal(text.encode(encoding), f"w.{name}")
        assert said.startswith(f"w.{name}:1:1: not UTF-8, but UTF-16 or UTF-32"), encoding
    said = refusal(text.replace("b", "\xe9").encode("latin-1"), f"w.{name}")
    assert "not UTF-8: the byte 0xe9" in said


@pytest.mark.parametrize("name", sorted(LINES))
def test_what_cannot_be_seen_is_told_escaped(name: str) -> None:
    escapes = {"json5": "\\u{:04x}", "yaml": "\\u{:04x}", "toml": "\\u{:04x}", "kdl": "\\u{{{:x}}}"}
    for code in (0x1B, 0x7F, 0x9B, 0x200B, 0x202E, 0xFEFF):
        escape = escapes[name].format(code)
        text = LINES[name].replace("comand", f'"{escape}x"')
        said = refusal(text.encode(), f"w.{name}")
        assert f'unknown field "\\u{code:04x}x"' in said
        assert all(line.isprintable() for line in said.splitlines())


@pytest.mark.parametrize("name", sorted(LINES))
def test_half_a_surrogate_pair_is_refused(name: str) -> None:
    escape = "\\u{d800}" if name == "kdl" else "\\ud800"
    text = LINES[name].replace("comand", "command").replace('"b"', f'"{escape}"')
    assert refusal(text.encode(), f"w.{name}").startswith(f"w.{name}")


@pytest.mark.parametrize("name", sorted(LINES))
def test_half_a_file_is_read_or_refused(name: str) -> None:
    text = LINES[name].encode()
    for end in range(len(text)):
        with suppress(InvalidSpec):
            spec.read(text[:end], file=f"w.{name}")


def check(
    name: str, cases: list[tuple[str, str]] | list[tuple[str, bytes]], *, refused: bool = False
) -> None:
    """Each is read or refused in time, with little memory, and in lines of a bearable length."""
    wrong = []
    for what, text in cases:
        outcome = read(text.encode() if isinstance(text, str) else text, f"w.{name}")
        is_good = (
            outcome.cpu_seconds < MAX_CPU_SECONDS
            and outcome.mib < MAX_MIB
            and (outcome.said.startswith(f"w.{name}") or (outcome.said == "read" and not refused))
            and all(len(line) < 400 for line in outcome.said.splitlines())
        )
        if not is_good:
            wrong.append((what, outcome.said[:200], outcome.cpu_seconds, outcome.mib))
    assert wrong == []
