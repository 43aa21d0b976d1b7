"""Specs in the forms of torc, old and new, as the page for torc's users says they are read."""

import msgspec
import pytest

from torcd import model, spec
from torcd.errors import InvalidSpec


def document(text: str, file: str = "spec.yaml") -> spec.Document:
    return spec.read(text.encode(), file=file)


def expanded(text: str, file: str = "spec.yaml") -> model.Workflow:
    read = document(text, file).spec
    arrived = msgspec.json.decode(msgspec.json.encode(read), type=spec.WorkflowSpec)
    return spec.expand(arrived, directory="/d", default_name="w")


def warnings(text: str, file: str = "spec.yaml") -> list[tuple[str, str]]:
    return [(problem.path, problem.message) for problem in document(text, file).warnings]


def commands(workflow: model.Workflow) -> dict[str, str | tuple[str, ...]]:
    return {job.name: job.command for job in workflow.jobs}


def waits(workflow: model.Workflow) -> dict[str, list[str]]:
    """Of each job the jobs it waits for by name or regex."""
    names = {job.key: job.name for job in workflow.jobs}
    return {job.name: [names[key] for key in job.depends_on] for job in workflow.jobs}


# Old names


def test_old_names_of_dependencies_are_read_in_every_format() -> None:
    as_yaml = """
    jobs:
      - {name: a, command: x}
      - {name: b, command: x, blocked_by: [a]}
      - {name: c, command: x, blocked_by_regexes: ["^[ab]$"]}
    """
    as_kdl = """
    job "a" { command "x"; }
    job "b" { command "x"; blocked_by_job "a"; }
    job "c" { command "x"; blocked_by_regexes "^[ab]$"; }
    """
    expected = {"a": [], "b": ["a"], "c": ["a", "b"]}
    assert waits(expanded(as_yaml)) == expected
    assert waits(expanded(as_kdl, "spec.kdl")) == expected


@pytest.mark.parametrize("count", [2, 20])
def test_a_barrier_by_its_old_name_is_planned_like_one_by_its_new(count: int) -> None:
    """Few are kept as lists, many as a group."""

    def planned(field: str) -> spec.Plan:
        before = [f"{{name: m{n}, command: x}}" for n in range(count)]
        after = [f"{{name: c{n}, command: x, {field}: [^m]}}" for n in range(count)]
        read = document(f"jobs: [{', '.join(before + after)}]").spec
        return spec.plan(read, directory="/d", default_name="w")

    old, new = planned("blocked_by_regexes"), planned("depends_on_regexes")
    assert old == new
    assert [awaited.by for awaited in old.items[-1].waits_for] == ["depends_on_regexes"]


def test_a_cycle_by_an_old_regex_is_told_like_one_by_a_new() -> None:
    def refusal(field: str) -> str:
        one = f"{{name: a, command: x, {field}: [b]}}"
        with pytest.raises(InvalidSpec) as refused:
            document(f"jobs: [{one}, {{name: b, command: x, {field}: [a]}}]")
        return str(refused.value)

    assert refusal("blocked_by_regexes") == refusal("depends_on_regexes")
    assert "(by depends_on_regexes)" in refusal("blocked_by_regexes")


def test_a_parameter_in_an_old_regex_is_escaped_like_in_a_new_one() -> None:
    text = """
    jobs:
      - {name: a+, command: x}
      - {name: aa, command: x}
      - {name: "after {p}", command: x, blocked_by_regexes: ["^{p}$"], parameters: {p: "['a+']"}}
    """
    assert waits(expanded(text))["after a+"] == ["a+"]


def test_an_old_name_beside_the_new_one_is_refused() -> None:
    with pytest.raises(InvalidSpec, match=r"`blocked_by_regexes` is the old name of"):
        document("jobs: [{command: x, depends_on_regexes: [a], blocked_by_regexes: [a]}]")


def test_an_old_torcs_own_fields_are_accepted_and_named_once() -> None:
    text = """
    {
      key: "96282", is_archived: false, name: "old", user: "", description: "",
      jobs: [
        {key: "1", name: "a", command: "x", invocation_script: null, scheduler: "",
         schedule_compute_nodes: {scheduler_id: "s/1", num_jobs: 2, max_parallel_jobs: null}},
        {key: "2", name: "b", command: "x", blocked_by: ["a"]},
      ],
      files: [{name: "f", path: "f", st_mtime: 1700000000.5}, {name: "g", path: "g", st_mtime: 1}],
      schedulers: {aws_schedulers: [], local_schedulers: [], slurm_schedulers: []},
    }
    """
    assert warnings(text, "spec.json5") == [
        ("key", "`key` has no effect on one machine"),
        ("is_archived", "`is_archived` has no effect on one machine"),
        ("jobs[0].key", "`key` has no effect on one machine"),
        (
            "jobs[0].schedule_compute_nodes",
            "`schedule_compute_nodes` has no effect on one machine",
        ),
        ("files[0].st_mtime", "`st_mtime` has no effect on one machine"),
        ("schedulers", "`schedulers` has no effect on one machine"),
    ]
    workflow = expanded(text, "spec.json5")
    assert waits(workflow) == {"a": [], "b": ["a"]}
    assert set(workflow.without_effect) == {"key", "is_archived", "schedulers"}


def test_scripts_in_an_old_config_are_said_not_to_run() -> None:
    text = """
    jobs: [{command: x}]
    config:
      workflow_startup_script: mkdir out
      worker_startup_script: null
      compute_node_resource_stats: {cpu: true}
    """
    (whole, script) = document(text).warnings
    assert whole.path == "config"
    assert (script.path, script.line) == ("config.workflow_startup_script", 4)
    assert script.message == "`workflow_startup_script` is not run"
    assert script.hint is not None
    assert "on_workflow_start" in script.hint


@pytest.mark.parametrize("config", ['"text"', "[1]", "3", "{workflow_startup_script: ''}"])
def test_any_config_is_accepted(config: str) -> None:
    assert len(warnings(f"{{jobs: [{{command: 'x'}}], config: {config}}}", "spec.json5")) == 1


def test_a_newer_torcs_fields_for_people_and_groups_are_kept() -> None:
    text = """
    name: w
    project: p
    metadata: '{"a": 1}'
    access_groups: [team]
    enable_ro_crate: true
    execution_config: {mode: direct, stdio: {mode: separate}}
    jobs: [{command: x}]
    """
    fields = ["project", "metadata", "access_groups", "enable_ro_crate", "execution_config"]
    assert [path for path, _ in warnings(text)] == fields
    assert list(expanded(text).without_effect) == fields


# Placeholders


def test_placeholders_count_in_the_invocation_script_too() -> None:
    workflow = expanded("""
    files: [{name: env, path: my env.sh}]
    user_data: [{name: v, data: 1}]
    jobs:
      - {name: make, command: "touch ${files.output.env}"}
      - name: use
        invocation_script: bash ${files.input.env} ${user_data.input.v}
        command: work
    """)
    make, use = workflow.jobs
    value = workflow.user_data[0].key
    assert use.command == f"bash '/d/my env.sh' {value} work"
    assert use.input_files == make.output_files == (workflow.files[0].key,)
    assert use.input_user_data == (value,)


def test_a_wrong_placeholder_in_the_invocation_script_is_told_there() -> None:
    with pytest.raises(InvalidSpec) as refused:
        document("jobs: [{command: x, invocation_script: 'bash ${files.input.env}'}]")
    (problem,) = refused.value.facts["problems"]
    assert problem["path"] == "jobs[0].invocation_script"
    assert problem["message"] == 'unknown file "env"'


def test_a_placeholder_adds_to_what_is_declared() -> None:
    workflow = expanded("""
    files: [{name: f, path: f}, {name: g, path: g}]
    jobs: [{command: "cat ${files.input.f}", input_files: [g]}]
    """)
    names = {file.key: file.name for file in workflow.files}
    assert [names[key] for key in workflow.jobs[0].input_files] == ["g", "f"]


# Actions


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("on_worker_start", "on_workflow_start"),
        ("on_worker_complete", "on_workflow_complete"),
        ("on_workflow_start", "on_workflow_start"),
    ],
)
def test_the_one_worker_starts_and_ends_with_the_workflow(written: str, meant: str) -> None:
    workflow = expanded(f"""
    jobs: [{{command: x}}]
    actions: [{{trigger_type: {written}, action_type: run_commands, commands: [y],
                persistent: true}}]
    """)
    (action,) = workflow.actions
    assert (action.trigger, action.commands, action.persistent) == (meant, ("y",), True)


# Parameters


def test_braces_around_a_range_are_taken_as_torc_takes_them() -> None:
    text = 'jobs: [{name: "j{i}", command: x, parameters: {i: "{1:3}"}}]'
    assert list(commands(expanded(text))) == ["j1", "j2", "j3"]


def test_a_job_that_gathers_waits_for_all_combinations() -> None:
    workflow = expanded("""
    parameters: {lr: "[0.1,0.01]", opt: "['adam','sgd']"}
    jobs:
      - {name: "train_{lr:.2f}_{opt}", command: x, use_parameters: [lr, opt]}
      - name: aggregate
        command: y
        depends_on: ["train_{lr:.2f}_{opt}"]
        use_parameters: [lr, opt]
    """)
    trained = ["train_0.10_adam", "train_0.10_sgd", "train_0.01_adam", "train_0.01_sgd"]
    assert [job.name for job in workflow.jobs] == [*trained, "aggregate"]
    assert waits(workflow)["aggregate"] == trained


def test_a_jobs_own_parameter_goes_before_the_workflows() -> None:
    text = """
    parameters: {lr: "[1,2,3]", n: "1:2"}
    jobs: [{name: "j{lr}_{n}", command: x, use_parameters: [lr, n], parameters: {lr: "[7]"}}]
    """
    assert list(commands(expanded(text))) == ["j7_1", "j7_2"]


def test_floats_are_written_as_python_writes_them() -> None:
    text = """
    jobs:
      - {name: "a {x}", command: x, parameters: {x: "0.0:1.0:0.5"}}
      - {name: "b {x}", command: x, parameters: {x: "[0.00001]"}}
      - {name: "c {x:g} {x:.1f}", command: x, parameters: {x: "[2.0]"}}
    """
    assert list(commands(expanded(text))) == ["a 0.0", "a 0.5", "a 1.0", "b 1e-05", "c 2 2.0"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ('{i: "5:1"}', "has no values"),
        ('{i: "[1,2]", j: "[1,2,3]"}, parameter_mode: zip', '"i" has 2, "j" has 3'),
        ('{i: "1:2"}, parameter_mode: zipped', 'expected "product" or "zip"'),
        ('{i: "1:2"}, use_parameters: [k]', 'unknown parameter "k"'),
        ('{i: "[\'a\']"}, env: {A: "{i:03d}"}', "is no format for the text"),
    ],
)
def test_parameters_that_torc_takes_silently_are_refused(parameters: str, message: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        document(f'jobs: [{{name: "x{{i}}", command: x, parameters: {parameters}}}]')
    assert message in str(refused.value)


def test_a_regex_that_finds_nothing_is_a_warning_and_its_action_does_not_run() -> None:
    text = """
    jobs: [{command: x, depends_on_regexes: [nothing]}]
    actions: [{trigger_type: on_jobs_ready, action_type: run_commands, commands: [y],
               job_name_regexes: [nothing]}]
    """
    paths = [path for path, _ in warnings(text)]
    assert paths == ["jobs[0].depends_on_regexes[0]", "actions[0].job_name_regexes[0]"]
    assert expanded(text).actions == ()


def test_what_torc_requires_of_resources_has_defaults() -> None:
    text = """
    resource_requirements: [{name: r}]
    jobs: [{command: x, resource_requirements: r}]
    """
    resources = expanded(text).jobs[0].resources
    assert resources == model.Resources(
        num_cpus=1, memory_bytes=None, num_gpus=0, num_nodes=1, runtime_seconds=None
    )


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("files: [{name: f, path: f, must_exist: true}]", 'unknown field "must_exist"'),
        ("slurm_schedulers: [{account: a, num_nodes: 2}]", 'unknown field "num_nodes"'),
        ("slurm_schedulers: [{account: a, extra_args: x}]", 'unknown field "extra_args"'),
        ("scheduling_rules: []", 'unknown field "scheduling_rules"'),
        ("variables: {a: b}", 'unknown field "variables"'),
        ("user_data: [{data: 1}]", "`name` is missing"),
    ],
)
def test_what_torc_passed_over_is_refused(fields: str, problem: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        document(f"jobs: [{{command: x}}]\n{fields}")
    assert problem in str(refused.value)


# KDL


def test_kdl_1_and_kdl_2_are_both_read() -> None:
    old = r'job "a" { command r#"echo "x""#; supports_termination true; }'
    new = r'job "a" { command #"echo "x""#; supports_termination #true; }'
    assert expanded(old, "spec.kdl") == expanded(new, "spec.kdl")
    assert expanded(new, "spec.kdl").jobs[0].supports_termination


@pytest.mark.parametrize("field", ["config", "schedulers", "execution_config"])
def test_a_text_of_kdl_that_should_be_json_and_is_not_is_refused(field: str) -> None:
    jobs = 'job "a" { command "x"; }'
    with pytest.raises(InvalidSpec, match=f"{field}: this is not JSON"):
        document(f'{field} "abc"\n{jobs}', "spec.kdl")
    kept = expanded(f'{field} "[1]"\n{jobs}', "spec.kdl").without_effect
    assert {name: bytes(value) for name, value in kept.items()} == {field: b"[1]"}
    kept = expanded(f"{field} {{ cpu #true; }}\n{jobs}", "spec.kdl").without_effect
    assert {name: bytes(value) for name, value in kept.items()} == {field: b'{"cpu":true}'}


def test_an_actions_jobs_and_commands_may_be_a_node_each_in_kdl() -> None:
    workflow = expanded(
        """
        job "a" { command "x"; }
        job "b" { command "x"; }
        action {
            trigger_type "on_jobs_complete"
            action_type "run_commands"
            job "a"
            job "b"
            command "one"
            command "two"
        }
        """,
        "spec.kdl",
    )
    (action,) = workflow.actions
    assert action.commands == ("one", "two")
    assert action.jobs == (workflow.jobs[0].key, workflow.jobs[1].key)


# Editors


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("spec.json", '{"$schema": "./s.json", "jobs": [{"command": "x"}]}'),
        ("spec.json5", "{$schema: 's.json', jobs: [{command: 'x'}]}"),
        ("spec.yaml", "$schema: s.json\njobs: [{command: x}]"),
        ("spec.toml", '"$schema" = "s.json"\n[[jobs]]\ncommand = "x"'),
        ("spec.kdl", '$schema "s.json"\njob "job_1" { command "x"; }'),
    ],
)
def test_the_key_that_names_the_schema_is_no_part_of_the_workflow(file: str, text: str) -> None:
    assert document(text, file).warnings == []
    assert expanded(text, file) == expanded("jobs: [{command: x}]")


def test_a_schema_key_anywhere_else_is_unknown() -> None:
    for text in ("{$schema: 3, jobs: [{command: x}]}", "jobs: [{command: x, $schema: a}]"):
        with pytest.raises(InvalidSpec, match="unknown field"):
            document(text)
