"""JSON Schemas of user_data: what fits, what is said, and that no schema does any harm."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endless_schema import endless_schema
from torcd import errors, validation
from torcd.validation import Checker, Problem, library, place, program


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    with Checker() as one:
        yield one


def said(checker: Checker, schema: object, value: object) -> str:
    """What a value that does not fit is refused with."""
    with pytest.raises(errors.InvalidValue) as refusal:
        checker.require_fit(json.dumps(schema).encode(), json.dumps(value).encode(), name="v")
    problem = str(refusal.value.facts["problem"])
    assert refusal.value.facts == {"name": "v", "problem": problem}
    assert refusal.value.message.startswith("the value of 'v' ")
    assert refusal.value.message.endswith(f": {problem}")
    return problem


def process_of(checker: Checker) -> int:
    assert checker._process is not None
    return checker._process._process.pid


# What is said

ROWS = {"properties": {"rows": {"items": {"required": ["x"], "properties": {"x": {"maximum": 9}}}}}}


@pytest.mark.parametrize(
    ("schema", "value", "problem"),
    [
        (ROWS, {"rows": [{"x": 1}, {"x": 10}]}, "data.rows[1].x: expected at most 9"),
        (ROWS, {"rows": [{}]}, 'data.rows[0]: "x" is missing'),
        ({"type": ["integer", "null"]}, "s", "data: expected null or integer, not string"),
        ({"type": "object"}, [], "data: expected object, not array"),
        ({"type": "string"}, True, "data: expected string, not boolean"),
        ({"type": "string"}, None, "data: expected string, not null"),
        ({"enum": [1, "b"]}, 2, 'data: expected one of [1, "b"]'),
        ({"const": {"a": 1}}, 2, 'data: expected {"a": 1}'),
        ({"minimum": 1}, 0, "data: expected at least 1"),
        ({"exclusiveMinimum": 1}, 1, "data: expected more than 1"),
        ({"exclusiveMaximum": 1}, 1, "data: expected less than 1"),
        ({"multipleOf": 0.1}, 0.25, "data: expected a multiple of 0.1"),
        ({"minLength": 3}, "ab", "data: expected at least 3 characters, not 2"),
        ({"maxLength": 1}, "ab", "data: expected at most 1 character, not 2"),
        ({"minItems": 1}, [], "data: expected at least 1 item, not 0"),
        ({"maxItems": 0}, [1], "data: expected at most 0 items, not 1"),
        ({"minProperties": 1}, {}, "data: expected at least 1 property, not 0"),
        ({"maxProperties": 0}, {"a": 1}, "data: expected at most 0 properties, not 1"),
        ({"pattern": "^a"}, "b", 'data: expected a text that matches "^a"'),
        ({"uniqueItems": True}, [1, 1.0], "data: expected no two equal items"),
        (
            {"properties": {"a": {}}, "additionalProperties": False},
            {"a": 1, "b": 2},
            'data: expected no property "b"',
        ),
        ({"unevaluatedProperties": False}, {"b": 2}, 'data: expected no property "b"'),
        ({"prefixItems": [{}], "items": False}, [1, 2], "data[1]: expected nothing to be here"),
        ({"unevaluatedItems": False}, [1], "data: there are more items than expected"),
        (
            {"anyOf": [{"type": "number"}, {"type": "null"}]},
            "s",
            "data: fits none of `anyOf`: expected number, not string; expected null, not string",
        ),
        ({"oneOf": [{}, {}]}, 1, "data: fits more than one of `oneOf`"),
        ({"oneOf": [{"const": 1}]}, 2, "data: fits none of `oneOf`: expected 1"),
        ({"not": {}}, 1, "data: expected what does not fit `not`"),
        (
            {"contains": {"const": 1}},
            [2],
            "data: expected other items that fit `contains`, or another number of them",
        ),
        (
            {"propertyNames": {"maxLength": 1}},
            {"ab": 1},
            "data: a property's name does not fit: expected at most 1 character, not 2",
        ),
        (False, 1, "data: expected nothing to be here"),
        ({"items": {"type": "null"}}, [None, {"a": 1}], "data[1]: expected null, not object"),
    ],
)
def test_the_place_and_what_was_expected_are_named(
    checker: Checker, schema: object, value: object, problem: str
) -> None:
    assert said(checker, schema, value) == problem


@pytest.mark.parametrize("schema", [{"type": "null"}, {"pattern": "^b"}, {"enum": ["b"]}])
def test_the_value_itself_is_not_told(checker: Checker, schema: object) -> None:
    assert "secret" not in said(checker, schema, "a secret")


def test_no_message_is_long(checker: Checker) -> None:
    deep: object = {"k" * 5000: {"type": "integer"}}
    for schema, value in (
        ({"enum": ["x" * 100_000]}, 1),
        ({"pattern": "x" * 10_000}, "a"),
        ({"additionalProperties": False}, {"k" * n: 1 for n in range(1, 1000)}),
        ({"properties": deep}, {"k" * 5000: "s"}),
        ({"anyOf": [{"const": n} for n in range(1000)]}, -1),
    ):
        assert len(said(checker, schema, value)) < 600


def test_a_place_is_written_as_in_a_program() -> None:
    assert place(("a", 3, "b c", "")) == 'data.a[3]["b c"][""]'
    assert len(place(tuple("ab" * 500))) == validation.MAX_PLACE_CHARACTERS


# What fits


@pytest.mark.parametrize(
    ("schema", "text", "fits"),
    [
        (b'{"maximum": 100000000000000000000000}', b"100000000000000000000000", True),
        (b'{"maximum": 100000000000000000000000}', b"100000000000000000000001", False),
        (b'{"const": 0.10000000000000000000001}', b"0.10000000000000000000001", True),
        (b'{"const": 0.10000000000000000000001}', b"0.10000000000000000000002", False),
        (b'{"const": 1}', b"1.0", True),
        (b'{"type": "integer"}', b"1e30", True),
        (b'{"type": "integer"}', b"1.5", False),
        (b'{"type": "integer"}', b"9" * 1_000_000, True),
        (b'{"maximum": 0}', b"1e-400", False),
        (b'{"maximum": 1e308}', b"1e400", False),
        (b'{"multipleOf": 0.1}', b"0.3", True),
        (b'{"format": "email"}', b'"no address"', True),
        (b'{"pattern": "^(?!no)"}', b'"no"', False),
        (b'{"pattern": "^\\\\p{Lu}"}', '"Ä"'.encode(), True),
        (b'{"type": "integer"}', b'"1"', False),
        (b'{"properties": {"a": {"type": "integer"}}}', b'{"a": 1, "a": "2"}', False),
        (
            b'{"allOf": [{"properties": {"a": true}}], "unevaluatedProperties": false}',
            b'{"a": 1}',
            True,
        ),
        (
            b'{"$id": "https://example.org/tree", "$dynamicAnchor": "node", "properties": '
            b'{"c": {"items": {"$dynamicRef": "#node"}}}, "unevaluatedProperties": false}',
            b'{"c": [{"d": 1}]}',
            False,
        ),
        (b'{"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}', b"1", True),
        (b'{"allOf": [{"$ref": "#"}]}', b"1", True),
        (b'{"items": {"$ref": "#"}}', b"[" * 64 + b"]" * 64, True),
        (b"true", b"1", True),
    ],
)
def test_numbers_are_exact_and_keywords_mean_what_2020_12_says(
    checker: Checker, schema: bytes, text: bytes, fits: bool
) -> None:
    problem = checker.check(schema, text)
    assert (problem is None) is fits
    assert problem is None or problem.is_about == "value"


# What is a schema


@pytest.mark.parametrize(
    ("schema", "message", "path"),
    [
        (b'{"type": 3}', "fits none of `anyOf`", ("type",)),
        (b'{"items": {"minimum": "1"}}', "expected number, not string", ("items", "minimum")),
        (b'{"pattern": "("}', '"(" is no regex', ("pattern",)),
        (b'{"pattern": "((a{99}){99}){99}"}', "is no regex", ("pattern",)),
        (b'{"$ref": "#/$defs/a"}', "leads nowhere", ()),
        (b"[]", "expected boolean or object, not array", ()),
        (b'{"items": ' * 200 + b"{}" + b"}" * 200, "recursion limit", ()),
        (b'{"a": ', "cannot be read", ()),
        (b'{"a": "\xff"}', "cannot be read", ()),
        (b'{"description": "' + b"a" * validation.MAX_SCHEMA_BYTES + b'"}', "bytes", ()),
    ],
)
def test_what_is_no_schema_is_told_with_its_place(
    checker: Checker, schema: bytes, message: str, path: tuple[str, ...]
) -> None:
    problem = checker.check(schema)
    assert problem is not None
    assert (problem.is_about, problem.path) == ("schema", path)
    assert message in problem.message


def test_nothing_is_fetched_or_opened_for_a_reference(tmp_path: Path, checker: Checker) -> None:
    schema = tmp_path / "schema.json"
    os.mkfifo(schema)  # whose opening would last for ever
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        for reference in (url, schema.as_uri(), str(schema), "schema.json", "//127.0.0.1/x"):
            for keyword in ("$ref", "$dynamicRef"):
                problem = checker.check(json.dumps({"items": {keyword: reference}}).encode())
                assert problem is not None, reference
                assert problem.is_about == "schema"
            # An $id or a dialect is a name, and nothing to be fetched.
            name = json.dumps({"$schema": reference, "type": "integer"}).encode()
            assert (checker.check(name, b'"s"') or Problem("")).message.startswith("expected")
        with pytest.raises(BlockingIOError):
            server.accept()


# What does harm elsewhere


@pytest.mark.large
def test_a_schema_that_takes_for_ever_is_given_up_on_and_others_are_checked_next() -> None:
    with Checker(total_cpu_seconds=1) as checker:
        problem = checker.check(endless_schema(), b"1")
        assert problem is not None
        assert problem.is_about == "limits"
        assert "it takes more than" in problem.message
        assert checker.check(b'{"type": "integer"}', b"1") is None


def test_the_time_of_one_check_is_bounded_in_the_kernel() -> None:
    """The same with the limit of each check, in a process that has one of a twentieth second."""
    code = "from torcd.validation import program; program.CPU_SECONDS = 0.05; program.main()"
    request = program.REQUEST.pack(len(endless_schema()), 1) + endless_schema() + b"1"
    done = subprocess.run([sys.executable, "-c", code], input=request, capture_output=True)
    assert done.returncode in program.SIGNALS_OF_TIME
    assert done.stdout == b""


@pytest.mark.parametrize(
    "pattern", ["^(a+)+$", "^(a|a)*$", "^(([a-z])+.)+[A-Z]([a-z])+$", "^(?=(a+)+$)(a|aa)+\\1b$"]
)
def test_a_pattern_that_backtracks_costs_next_to_nothing(checker: Checker, pattern: str) -> None:
    checker.check(b"{}")
    before = cpu_seconds(process_of(checker))
    said(checker, {"pattern": pattern}, "a" * 5000 + "!")
    assert cpu_seconds(process_of(checker)) - before < 2


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_memory_without_bound_is_given_up_on() -> None:
    code = "from torcd.validation import program; program.MAX_MEMORY_BYTES = 2**28; program.main()"
    text = b"[" + b"[]," * 5_000_000 + b"1]"
    request = b"".join(
        [
            program.REQUEST.pack(2, len(text)) + b"{}" + text,
            program.REQUEST.pack(18, 1) + b'{"type": "string"}' + b"1",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], input=request, capture_output=True)
    answers = done.stdout.decode(errors="replace")
    assert "too much memory" in answers
    assert "expected string" in answers


def test_a_process_that_was_killed_meanwhile_is_replaced() -> None:
    with Checker() as checker:
        assert checker.check(b"{}", b"1") is None
        first = process_of(checker)
        os.kill(first, signal.SIGKILL)
        assert checker.check(b'{"type": "string"}', b"1") is not None
        assert process_of(checker) != first


def test_there_is_no_process_before_there_is_something_to_check_and_none_after() -> None:
    with Checker() as checker:
        assert checker._process is None
        checker.check(b"{}")
        pid = process_of(checker)
    assert not Path(f"/proc/{pid}").exists()


def test_a_process_that_cannot_be_started_lets_nothing_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with Checker() as checker, pytest.raises(errors.InvalidValue, match="cannot be started"):
        checker.require_fit(b"{}", b"1", name="v")


def test_a_schema_is_compiled_once() -> None:
    with Checker() as checker:
        schema = json.dumps({"enum": list(range(30_000))}).encode()
        checker.check(schema)
        before = cpu_seconds(process_of(checker))
        for _ in range(200):
            assert checker.check(schema, b"1") is None
        # Compiling it takes some 5 ms; the hundredths of a second are the clock's.
        assert cpu_seconds(process_of(checker)) - before < 0.4


def test_of_many_schemas_the_last_ones_are_kept() -> None:
    for n in range(program.MAX_COMPILED + 20):
        assert library.compiled(b'{"minimum": %d}' % n).problem_of(n - 1) is not None
    assert library.compiled.cache_info().currsize == program.MAX_COMPILED


def test_threads_take_turns(checker: Checker) -> None:
    wrong: list[int] = []

    def check(number: int) -> None:
        for other in range(4):
            problem = checker.check(b'{"const": %d}' % number, b"%d" % other)
            if (problem is None) is not (number == other):
                wrong.append(number)

    threads = [threading.Thread(target=check, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_neither_daemon_nor_torcctl_imports_the_library() -> None:
    code = (
        "import sys, torcd.daemon, torcctl.main, torcctl.fast, torcd.client;"
        "print([name for name in sys.modules if 'jsonschema' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
