"""KDL: a node for each item; the same workflow as in the other formats."""

import msgspec
import pytest

from torcd import spec
from torcd.errors import InvalidSpec
from torcd.spec import formats

KDL = r"""
name "both"
description "One workflow, twice"
env { LANG "C"; LEVEL "1" }
parameters {
    i "1:2"
    kind "x" "y"
}
resource_requirements "small" num_cpus=1 memory="1m"
resource_requirements "large" {
    num_cpus 1
    memory "2m"
    runtime "PT1H"
}
file "table_{i}" path="t{i}.csv" {
    use_parameters "i"
}
user_data "limit" {
    is_ephemeral #false
    data "{\"max\": 1.10, \"names\": [\"a\"]}"
}
user_data "plain" data="3"
user_data "number" { data 7 }
job "make_{i}" {
    command "make {i} \"quoted\""
    output_file "table_{i}"
    resource_requirements "small"
    use_parameters "i"
    supports_termination #true
    priority -1
}
job "read" cancel_on_blocking_job_failure=#false {
    command "cat" "a file"
    input_file "table_1" cli_arg="--table"
    input_file "table_2"
    input_user_data "limit" "plain"
    depends_on_regexes "^make_1$" "^make_2$"
    env { A "1" }
}
job "alone" {
    command "true"
    depends_on "read"
}
failure_handler "again" {
    rule {
        exit_codes 1 2
        max_retries 2
    }
    rule match_all_exit_codes=#true
}
action {
    trigger_type "on_jobs_complete"
    action_type "run_commands"
    job "read"
    command "one"
    command "two"
}
slurm_scheduler "s" account="me" nodes=2
slurm_defaults { qos "high"; requeue #true }
config { stats { cpu #true; names "a" "b" } }
"""

YAML = """
name: both
description: One workflow, twice
env: {LANG: C, LEVEL: "1"}
parameters: {i: "1:2", kind: [x, y]}
resource_requirements:
- {name: small, num_cpus: 1, memory: 1m}
- {name: large, num_cpus: 1, memory: 2m, runtime: PT1H}
files:
- {name: "table_{i}", path: "t{i}.csv", use_parameters: [i]}
user_data:
- {name: limit, is_ephemeral: false, data: {"max": 1.10, "names": ["a"]}}
- {name: plain, data: 3}
- {name: number, data: 7}
jobs:
- name: make_{i}
  command: make {i} "quoted"
  output_files: ["table_{i}"]
  resource_requirements: small
  use_parameters: [i]
  supports_termination: true
  priority: -1
- name: read
  cancel_on_blocking_job_failure: false
  command: [cat, a file]
  input_files: [{name: table_1, cli_arg: --table}, table_2]
  input_user_data: [limit, plain]
  depends_on_regexes: [^make_1$, ^make_2$]
  env: {A: "1"}
- {name: alone, command: "true", depends_on: [read]}
failure_handlers:
- {name: again, rules: [{exit_codes: [1, 2], max_retries: 2}, {match_all_exit_codes: true}]}
actions:
- {trigger_type: on_jobs_complete, action_type: run_commands, jobs: [read], commands: [one, two]}
slurm_schedulers: [{name: s, account: me, nodes: 2}]
slurm_defaults: {qos: high, requeue: true}
config: {stats: {cpu: true, names: [a, b]}}
"""


def builtins(text: str, file: str) -> object:
    workflow = spec.expand(
        spec.read(text.encode(), file=file).spec, directory="/d", default_name="w"
    )
    return msgspec.json.decode(msgspec.json.encode(workflow))


def test_a_workflow_is_the_same_in_kdl() -> None:
    assert builtins(KDL, "w.kdl") == builtins(YAML, "w.yaml")


def test_a_list_of_one_is_a_list_and_the_first_version_of_kdl_is_read_too() -> None:
    text = 'job "a" { command "x"; supports_termination true }\n'
    text += 'job "b" { command "y"; depends_on "a"; }'
    jobs = spec.read(text.encode(), file="w.kdl").spec.jobs or ()
    assert (jobs[0].supports_termination, jobs[1].depends_on) == (True, ("a",))


def test_lists_of_one_and_none_are_marked_where_they_could_be_taken_for_something_else() -> None:
    text = 'job "a" { (list)command "true"; (list)depends_on; input_file name="f"; env {} }\n'
    text += 'parameters { (list)i "1:3"; j "1:3"; (list)k }\n(list)files'
    tree = formats.by_name("kdl").load(text)
    assert tree == {
        "jobs": [
            {"name": "a", "command": ["true"], "depends_on": []}
            | {"input_files": [{"name": "f"}], "env": {}}
        ],
        "parameters": {"i": ["1:3"], "j": "1:3", "k": []},
        "files": [],
    }


@pytest.mark.parametrize("number", ["8.42e-21", "6.32e-37", "1_0.25e100", "-1.49287e+58", "0.1"])
def test_floats_are_what_they_say(number: str) -> None:
    text = f'name "1_.5e3 {number} 2e"; slurm_defaults {{ a {number} }}; config {{ b c={number} }}'
    value = float(number.replace("_", ""))
    assert formats.by_name("kdl").load(text) == {
        "name": f"1_.5e3 {number} 2e",
        "slurm_defaults": {"a": value},
        "config": {"b": {"c": value}},
    }


def test_json_in_kdl_is_the_same_data_as_anywhere_else() -> None:
    (item,) = (
        spec.read(
            b'job { command "x" }\nuser_data "d" data="{ \\"a\\": [1.10, -0] }"', file="w.kdl"
        ).spec.user_data
        or ()
    )
    assert item.data == msgspec.Raw(b'{"a":[1.10,-0]}')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('job "a', "not KDL: "),
        ('job "a" {', "not KDL: "),
        ('name "a"\nname "b"', "`name` is there twice"),
        ('job "a" "b" { command "x" }', "`job` has more arguments than a name"),
        ('job "a" { command "x"; cwd }', "`cwd` has no value"),
        ('job "a" { command "x"; depends_on }', "`depends_on` has no value"),
        ('job "a" name="b" { command "x" }', "`name` is there twice"),
        ('job "a" { comand "x" }', 'unknown field "comand" (did you mean "command"?)'),
        ('job "a" { command "x"; priority "high" }', "expected a whole number"),
        ('jub "a"', 'unknown field "jub"'),
        ('job "a" { command "x" }\nuser_data "u" data="{"', "the data is refused"),
        ('job "a" { command "x" }\nconfig "{"', "config: this is not JSON: the JSON text ends"),
        ('job "a" { command "x" }\nconfig ' + "{ a " * 200 + "{ b 1 }" + "}" * 200, "too deep"),
        ("job {" * 10_000 + "}" * 10_000, ""),
        ('name "' + "x" * 10 + '\\u{d800}"', ""),
    ],
)
def test_wrong_kdl_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        spec.read(text.encode(), file="w.kdl")
    assert message in str(refused.value)
