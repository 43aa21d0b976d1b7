"""What was dumped is read again as it was, in every format."""

import re

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from tests.unit.spec.made_up import WORKFLOWS, plain
from torcd import spec
from torcd.errors import InvalidSpec
from torcd.spec import formats, structure

TOML_LACKS = re.compile(rb'"(?:[^"\\]|\\.)*"|(?P<lacks>null|-0(?![.0-9eE]))')


def has_what_toml_lacks(given_spec: spec.WorkflowSpec) -> bool:
    """null or the integer -0, outside texts."""
    return any(match["lacks"] for match in TOML_LACKS.finditer(msgspec.json.encode(given_spec)))


FORMATS = ("json5", "yaml", "toml", "kdl")


@pytest.mark.parametrize("name", FORMATS)
@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(given_spec=WORKFLOWS)
def test_what_is_loaded_is_what_was_dumped(name: str, given_spec: spec.WorkflowSpec) -> None:
    if name == "toml" and has_what_toml_lacks(given_spec):
        with pytest.raises(InvalidSpec, match="TOML"):
            spec.dump(given_spec, format=name)
        return
    text = spec.dump(given_spec, format=name)
    loaded = structure.decode(formats.by_name(name).load(text.decode()))
    assert loaded.findings == []
    assert loaded.spec == given_spec
    assert plain(loaded.spec) == plain(given_spec)


RIGHT = b"""{
  name: "right", parameters: {i: "1:2", kind: ["a"]}, env: {}, jobs: [
    {name: "make_{i}", command: "printf '%s' {i}\\n", use_parameters: ["i"],
     output_files: [{name: "table_{i}", cli_arg: "--out"}], resource_requirements: "small"},
    {name: "all", command: ["true"], input_file_regexes: ["^table_[0-9]+$"], depends_on: [],
     input_user_data: [{name: "limits"}], failure_handler: "again"},
  ],
  files: [{name: "table_{i}", path: "t {i}.csv", use_parameters: ["i"]}],
  user_data: [{name: "limits", data: {z: 1.10, a: {}, list: [{}, 1e400]},
               schema: {type: "object"}}],
  resource_requirements: [{name: "small", memory: "1m", runtime: "PT1M"}],
  failure_handlers: [{name: "again", rules: [{exit_codes: [1, -9], backoff: 0.1}, {on: ["oom"]}]}],
  actions: [{trigger_type: "on_jobs_complete", action_type: "run_commands", commands: ["one\\ntwo"],
             job_name_regexes: ["^make"]}],
  slurm_defaults: {qos: "high", n: 1, f: 1.0}, config: {deep: [[1, {a: []}]]},
}"""


@pytest.mark.parametrize("name", [*FORMATS, "json"])
def test_a_right_spec_comes_through_every_format(name: str) -> None:
    given_spec = spec.read(RIGHT, file="w.json5").spec
    text = spec.dump(given_spec, format=name)
    read = spec.read(text, file=f"w.{name}").spec
    assert (read, plain(read)) == (given_spec, plain(given_spec))
    assert spec.dump(read, format=name) == text


def test_what_is_dumped_is_for_people_too() -> None:
    given_spec = spec.read(RIGHT, file="w.json5").spec
    assert b"- name: table_{i}\n  path: t {i}.csv\n" in spec.dump(given_spec, format="yaml")
    assert b"  - |-\n    one\n    two\n" in spec.dump(given_spec, format="yaml")
    assert b'file "table_{i}" {\n    path "t {i}.csv"\n' in spec.dump(given_spec, format="kdl")
    assert b'"name": "table_{i}",\n      "path": "t {i}.csv",\n' in spec.dump(given_spec)


def a_spec(data: object) -> spec.WorkflowSpec:
    item = spec.UserDataSpec(name="d", data=data)  # type: ignore[arg-type]
    return spec.WorkflowSpec(jobs=(spec.JobSpec(command="true"),), user_data=(item,))


@pytest.mark.parametrize("digits", [301, 4299, 4300, 5000])
def test_integers_keep_their_digits_as_far_as_the_format_goes(digits: int) -> None:
    given_spec = a_spec(msgspec.Raw(b"-" + b"9" * digits))
    for name in FORMATS:
        if name == "toml" and digits > 4299:
            with pytest.raises(InvalidSpec, match=r"^user_data\[0\].data: TOML is"):
                spec.dump(given_spec, format=name)
        else:
            assert (
                spec.read(spec.dump(given_spec, format=name), file=f"w.{name}").spec == given_spec
            )


@pytest.mark.parametrize("name", FORMATS)
def test_null_data_is_no_data(name: str) -> None:
    text = spec.dump(a_spec(msgspec.Raw(b"null")), format=name)
    assert spec.read(text, file=f"w.{name}").spec == a_spec(msgspec.UNSET)


def test_plain_python_data_and_text_laid_out_are_the_same_data() -> None:
    compact = a_spec(msgspec.Raw(b'{"a":[1.5,null]}'))
    assert spec.dump(a_spec({"a": [1.5, None]})) == spec.dump(compact)
    assert spec.dump(a_spec(msgspec.Raw(b'{ "a": [1.5,\n null] }'))) == spec.dump(compact)
    assert spec.dump(a_spec(spec.to_json({"a": (1.5, None)}))) == spec.dump(compact)


def test_a_spec_that_came_as_json_is_told_all_that_is_wrong_with_it() -> None:
    given_spec = spec.read(RIGHT, file="w.json5").spec
    assert spec.decode(msgspec.json.encode(given_spec)) == given_spec
    text = b'{"nam": "w", "jobs": [{"command": 5}, {"command": "x", "depends_on": ["y"]}]}'
    with pytest.raises(InvalidSpec) as refused:
        spec.decode(text)
    problems = refused.value.facts["problems"]
    assert [problem["path"] for problem in problems] == [  # type: ignore[index, union-attr]
        *("nam", "jobs[0].command", "jobs[1].depends_on[0]")
    ]
    for broken in (b"{", b"\xff", b"[" * 100_000, b'{"jobs": "\\ud800"}'):
        with pytest.raises(InvalidSpec, match="the spec is not understood"):
            spec.decode(broken)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (spec.WorkflowSpec(parameters={"x": float("nan")}), "parameters.x: nan is not JSON"),
        (spec.WorkflowSpec(env={"A": "\ud800"}), "env.A: a string holds half of a surrogate"),
        (spec.WorkflowSpec(name=3), "name: expected text, found the number 3"),  # type: ignore[arg-type]
        (
            spec.WorkflowSpec(jobs=(spec.JobSpec(command="x", env={"A": 1}),)),  # type: ignore[dict-item]
            "jobs[0].env.A: expected text, found the number 1",
        ),
        (a_spec(object()), "user_data[0].data: Encoding objects of type object is unsupported"),
        (a_spec(msgspec.Raw(b"{")), "user_data[0].data: the data is refused: the JSON text ends"),
        (a_spec(msgspec.Raw(b"[NaN]")), "user_data[0].data: the data is refused: NaN is not JSON"),
        (
            spec.WorkflowSpec(config=msgspec.Raw(b"[")),
            "config: this is not JSON: the JSON",
        ),
    ],
)
def test_what_no_spec_may_hold_is_not_dumped(wrong: spec.WorkflowSpec, message: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        spec.dump(wrong)
    assert message in refused.value.message


@pytest.mark.parametrize(
    ("data", "path"),
    [(b'{"a":[1,null]}', "user_data[0].data.a[1]"), (b"[-0]", "user_data[0].data[0]")],
)
def test_what_toml_cannot_say_is_told_with_its_path(data: bytes, path: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        spec.dump(a_spec(msgspec.Raw(data)), format="toml")
    [problem] = refused.value.facts["problems"]  # type: ignore[misc, union-attr]
    assert problem["path"] == path  # type: ignore[index]
    assert "TOML" in refused.value.message
