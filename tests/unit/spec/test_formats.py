"""Every format gives the same structs, and broken text nothing but InvalidSpec."""

import json
import sys
from contextlib import suppress
from io import StringIO
from subprocess import run

import msgspec
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from torcd import spec
from torcd.errors import InvalidSpec

FROM_THE_MANUAL = b"""
{ user_data: [ { name: "output_data1", } ],
  jobs: [ { command: "python work1.py", output_user_data: ["output_data1"], },
          { command: "python work2.py", input_user_data: ["output_data1"], } ] }
"""


@pytest.mark.parametrize(
    "field",
    [
        "config: {n: 1.10}",
        "schedulers: {n: 1.10}",
        "execution_config: {n: 1.10}",
        "user_data: [{name: 'd', data: {n: 1.10}}]",
        "user_data: [{name: 'd', schema: {n: 1.10}}]",
    ],
)
def test_numbers_keep_their_texts_wherever_any_json_may_stand(field: str) -> None:
    text = f"{{jobs: [{{command: 'x'}}], {field}}}".encode()
    assert b'{"n":1.10}' in msgspec.json.encode(spec.read(text, file="w.json5").spec)


def data_of(text: str | bytes, file: str) -> bytes:
    """The text of the only user_data's value."""
    encoded = text.encode() if isinstance(text, str) else text
    (item,) = spec.read(encoded, file=file).spec.user_data or ()
    assert isinstance(item.data, msgspec.Raw)
    return bytes(item.data)


def json5_data(data: str) -> bytes:
    text = f'{{jobs: [{{command: "true"}}], user_data: [{{name: "d", data: {data}}}]}}'
    return data_of(text, "w.json5")


def yaml_data(data: str) -> bytes:
    text = f"jobs: [{{command: 'true'}}]\nuser_data:\n- name: d\n  data: {data}\n"
    return data_of(text, "w.yaml")


def toml_data(data: str) -> bytes:
    text = f'[[jobs]]\ncommand = "true"\n[[user_data]]\nname = "d"\ndata = {data}\n'
    return data_of(text, "w.toml")


def test_the_document_users_come_from_loads_as_it_stands() -> None:
    workflow = spec.expand(
        spec.read(FROM_THE_MANUAL, file="w.json5").spec, directory="/d", default_name="w"
    )
    first, second = workflow.jobs
    assert [first.name, second.name] == ["job_1", "job_2"]
    assert first.output_user_data == second.input_user_data == (workflow.user_data[0].key,)


def test_importing_the_package_brings_in_no_parser() -> None:
    heavy = "{'pyjson5', 'yaml', 'ckdl', 'tomllib', 'asyncio', 'logging'}"
    program = f"import sys, torcd.spec; print({heavy} & set(sys.modules))"
    done = run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# Round trips

NAMES = st.text(
    st.characters(
        codec="utf-8", exclude_characters="\0\r\n\x7f", exclude_categories=["Cc", "Cs", "Cn", "Co"]
    ),
    min_size=1,
    max_size=8,
)
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Co"]), min_size=1
)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.booleans() | TEXTS | NUMBERS
DATA = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
)


def optional(**fields: st.SearchStrategy[object]) -> dict[str, st.SearchStrategy[object]]:
    return fields


@st.composite
def trees(draw: st.DrawFn) -> dict[str, object]:
    """Right specs as plain trees."""
    jobs = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    files = draw(st.lists(NAMES, max_size=3, unique=True))
    values = draw(st.lists(NAMES, max_size=3, unique=True))

    def some(names: list[str]) -> st.SearchStrategy[list[object]]:
        if not names:
            return st.just([])
        name = st.sampled_from(names)
        entry = st.fixed_dictionaries({"name": name}, optional={"cli_arg": TEXTS})
        return st.lists(name | entry, max_size=2)

    def job(n: int) -> dict[str, object]:
        fields = st.fixed_dictionaries(
            {"command": TEXTS.filter(str.strip) | st.lists(TEXTS, min_size=1, max_size=3)},
            optional=optional(
                name=st.just(jobs[n]),
                invocation_script=TEXTS,
                input_files=some(files[:1]),
                output_files=some(files[1:]),
                input_user_data=some(values[:1]),
                output_user_data=some(values[1:]),
                cancel_on_blocking_job_failure=st.booleans(),
                supports_termination=st.booleans(),
                priority=st.integers(-100, 100),
                env=st.dictionaries(NAMES.filter(lambda name: "=" not in name), TEXTS, max_size=2),
                cwd=TEXTS,
                stdio=st.sampled_from(["separate", "combined", "none"]),
            ),
        )
        drawn: dict[str, object] = draw(fields)
        return drawn

    item = st.fixed_dictionaries(
        {},
        optional=optional(
            data=DATA,
            is_ephemeral=st.booleans(),
            available=st.sampled_from(["on_completion", "on_store"]),
        ),
    )
    tree = draw(st.fixed_dictionaries({}, optional=optional(name=NAMES, description=TEXTS)))
    return {
        **tree,
        "jobs": [job(n) for n in range(len(jobs))],
        "files": [{"name": name, "path": draw(TEXTS)} for name in files],
        "user_data": [{"name": name, **draw(item)} for name in values],
    }


def as_json(tree: dict[str, object]) -> bytes:
    return json.dumps(tree).encode()


def as_yaml(tree: dict[str, object]) -> bytes:
    out = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False  # ruamel does not read {a: :b}, which it writes
    yaml.dump(tree, out)
    return out.getvalue().encode()


def as_toml(tree: dict[str, object]) -> bytes:
    return tomli_w.dumps(tree).encode()


def plain(read: spec.WorkflowSpec) -> object:
    return json.loads(msgspec.json.encode(read))


def without_clashes(tree: dict[str, object]) -> bool:
    """Default names may clash with given ones; that is refused, and tested elsewhere."""
    jobs = tree["jobs"]
    assert isinstance(jobs, list)
    names = [job.get("name", f"job_{n}") for n, job in enumerate(jobs, 1)]
    return len(set(names)) == len(names)


@settings(deadline=None)
@given(trees().filter(without_clashes))
def test_a_dumped_spec_reads_the_same_in_every_format(tree: dict[str, object]) -> None:
    for file, text in (
        ("w.json5", as_json(tree)),
        ("w.json", as_json(tree)),
        ("w.yaml", as_yaml(tree)),
        ("w.toml", as_toml(tree)),
    ):
        assert plain(spec.read(text, file=file).spec) == tree, file


@settings(deadline=None)
@given(trees().filter(without_clashes))
def test_what_the_client_read_the_daemon_expands_from_its_json(tree: dict[str, object]) -> None:
    read = spec.read(as_json(tree), file="w.json5").spec
    arrived = msgspec.json.decode(msgspec.json.encode(read), type=spec.WorkflowSpec)
    assert spec.expand(arrived, directory="/d", default_name="w") == spec.expand(
        read, directory="/d", default_name="w"
    )


# Broken text

RIGHT = {
    "w.json5": b"{jobs: [{name: 'a', command: [\"x\", 'y'], /* c */ env: {A: 'b'}}], // d\n"
    b"user_data: [{name: 'd', data: {x: [1.5, null, +Infinity]}}]}",
    "w.yaml": b"jobs:\n- &a {name: a, command: [x, 'y']}\n- command: |\n    x\n  env: {A: b}\n"
    b"user_data: [{name: d, data: {x: [1.5, null]}}]\n",
    "w.toml": b'name = \'w\'\n[[jobs]]\nname = "a"\ncommand = [\'x\', """y"""]\n[jobs.env]\n'
    b"A.B = 1\n[[user_data]]\nname = 'd'\ndata = {x = [1.5, 2024-01-01]}\n",
}


@st.composite
def broken(draw: st.DrawFn) -> tuple[str, bytes]:
    """A right text with a few pieces cut out, doubled, or put in."""
    file = draw(st.sampled_from(sorted(RIGHT)))
    text = RIGHT[file]
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 12)))
        put = draw(
            st.binary(max_size=3)
            | st.sampled_from([text[start:end] * 2, b"[" * 300, b"{", b"9" * 400, b"\xef\xbb\xbf"])
            | st.sampled_from([b'"', b"'", b":", b"=", b"\\", b"\n", b"\0", b"&a", b"*a", b"1e999"])
        )
        text = text[:start] + put + text[end:]
    return file, text


@settings(deadline=None, max_examples=4 * settings.default.max_examples)
@given(broken())
def test_broken_text_is_read_or_refused_and_nothing_else(case: tuple[str, bytes]) -> None:
    file, text = case
    with suppress(InvalidSpec):
        spec.read(text, file=file)


@settings(deadline=None)
@given(st.binary(), st.sampled_from(sorted(RIGHT)))
def test_any_bytes_are_read_or_refused_and_nothing_else(text: bytes, file: str) -> None:
    with pytest.raises(InvalidSpec):
        spec.read(text, file=file)


HOSTILE = {
    "nested_lists.yaml": "[" * 10_000,
    "nested_mappings.yaml": "{a: " * 10_000,
    "nested_items.yaml": "- " * 10_000,
    "nested_keys.yaml": "? " * 10_000,
    "nested_blocks.yaml": "".join(f"{' ' * n}a:\n" for n in range(1_000)),
    "merges.yaml": "a0: &a0 {k: 1}\n"
    + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 30)),
    "digits.yaml": "9_" * 10_000 + "9",
    "nested_lists.toml": "a = " + "[" * 10_000,
    "nested_tables.toml": "a = " + "{a = " * 10_000,
    "nested_headers.toml": f"[{'.'.join('a' * 3_000)}]",
    "nested_lists.json5": "[" * 10_000,
    "nested_mappings.json5": "{a:" * 10_000,
    "open_comments.json5": "{a: 1e999\n" + "/*" * 300_000,
    "escaped_quotes.json5": "{a: 1\nb: '" + "\\'" * 300_000,
    "hexadecimal_data.json5": "{jobs: [{command: 'x'}], user_data: [{name: 'd', data: 0x"
    + "f" * 10_000
    + "}]}",
    "hexadecimal_priority.json5": "{jobs: [{command: 'x', priority: 0x" + "f" * 10_000 + "}]}",
    "hexadecimal_before_the_end.json5": "[0x" + "f" * 10_000 + " ",
    "hexadecimal_key.yaml": "? 0x" + "f" * 10_000 + "\n: 1\n",
    "many_unknown.json5": "{" + ",".join(f"k{n}:1" for n in range(20_000)) + "}",
}
"""What would take a naive reader a stack, quadratic time, or more memory than there is."""


@pytest.mark.parametrize("file", HOSTILE)
@pytest.mark.timeout(10)
def test_a_hostile_text_is_refused_in_good_time(file: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        spec.read(HOSTILE[file].encode(), file=file)
    assert all(len(line) < 400 for line in str(refused.value).splitlines())


# Numbers and other oddities


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("1.10", "1.10"),
        ("1e400", "1e400"),
        ("-0", "-0"),
        ("0", "0"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("9" * 6000, "9" * 6000),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ("+.5", "0.5"),
        ("5.", "5.0"),
        ("5.e1", "5.0e1"),
        ("0x1F", "31"),
        ("['1.10', {a1e5: 1.0}, 1.50 /* 2.50 */]", '["1.10",{"a1e5":1.0},1.50]'),
    ],
)
def test_json5_keeps_the_text_of_numbers(written: str, kept: str) -> None:
    assert json5_data(written) == kept.encode()


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("1.10", "1.10"),
        ("-1.50e3", "-1.50e3"),
        ("-0", "-0"),
        ("9" * 6000, "9" * 6000),
        ("0x1F", "31"),
        ("no", '"no"'),
        ("1:30", '"1:30"'),
        ("2024-01-01", '"2024-01-01"'),
        ("[~, true]", "[null,true]"),
    ],
)
def test_yaml_is_1_2_and_keeps_the_text_of_numbers(written: str, kept: str) -> None:
    assert yaml_data(written) == kept.encode()


@pytest.mark.parametrize(
    ("written", "kept"),
    [("1.10", "1.10"), ("1e400", "1e400"), ("+1.0", "1.0"), ("1_0.5", "10.5"), ("0x1F", "31")],
)
def test_toml_keeps_the_text_of_numbers(written: str, kept: str) -> None:
    assert toml_data(written) == kept.encode()


@pytest.mark.parametrize("data", ["null", "~"])
def test_null_data_is_no_value(data: str) -> None:
    text = f"jobs: [{{command: 'true'}}]\nuser_data:\n- name: d\n  data: {data}\n"
    (item,) = spec.read(text.encode(), file="w.yaml").spec.user_data or ()
    assert item.data is msgspec.UNSET


def test_data_as_deep_as_it_may_be_is_read_in_every_format() -> None:
    deep = "[" * 64 + "]" * 64
    assert json5_data(deep) == yaml_data(deep) == toml_data(deep) == deep.encode()


def test_a_null_field_is_the_same_as_an_absent_one() -> None:
    text = (
        b"{name: null, parameters: null, files: null,"
        b" jobs: [{command: 'x', name: null, env: null, failure_handler: null}]}"
    )
    assert spec.read(text, file="w.json5").spec == spec.WorkflowSpec(
        jobs=(spec.JobSpec(command="x"),)
    )


@pytest.mark.parametrize(
    "text", [b"\xef\xbb\xbf{jobs: [{command: 'x'}]}", b"{jobs:\r\n[{command: 'x'}]\r\n}"]
)
def test_a_byte_order_mark_and_crlf_do_not_matter(text: bytes) -> None:
    assert spec.read(text, file="w.json5").spec.jobs == (spec.JobSpec(command="x"),)


def test_colons_in_texts_and_comments_are_no_keys() -> None:
    text = b"{jobs: [{command: 'a: \\' b:', /* c: // */ name: \"d:e\" // f: '\n}]}"
    (job,) = spec.read(text, file="w.json5").spec.jobs or ()
    assert (job.command, job.name) == ("a: ' b:", "d:e")


def test_a_yaml_anchor_may_be_used_again() -> None:
    text = b"jobs:\n- command: &c one\n- command: &c two\n- command: *c\n"
    jobs = spec.read(text, file="w.yaml").spec.jobs or ()
    assert [job.command for job in jobs] == ["one", "two", "two"]


@pytest.mark.parametrize(
    ("jobs", "problem"),
    [
        ("[{name:\ufeff\n {x: 1}}]", "w.json5:1:10: jobs[0].name: expected text"),
        (
            "[{command: 'x', \ufeff command: 'y'}]",
            "w.json5:1:26: `jobs[0].command` is there twice",
        ),
        (
            "[{command:\ufeff\n 'x'\n priority: 1 b: 2}]",
            "w.json5:3:14: not JSON5: expected a comma",
        ),
    ],
)
def test_a_byte_order_mark_is_white_space_to_json5(jobs: str, problem: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        spec.read(f"{{jobs: {jobs}}}".encode(), file="w.json5")
    assert problem in str(refused.value)


def test_standard_input_is_json5_unless_the_format_is_given() -> None:
    assert spec.read(b"{jobs: [{command: 'x'}]}", file="-").spec.jobs
    assert spec.read(b"jobs: [{command: x}]", file="-", format="yaml").spec.jobs
    assert spec.default_name("-") == "workflow"
    assert spec.default_name("/some/where/night.run.json5") == "night.run"


def test_the_old_name_of_depends_on_is_read() -> None:
    text = b"{jobs: [{command: 'x'}, {command: 'y', blocked_by: ['job_1']}]}"
    workflow = spec.expand(spec.read(text, file="w.json5").spec, directory="/", default_name="w")
    assert workflow.jobs[1].depends_on == (workflow.jobs[0].key,)
