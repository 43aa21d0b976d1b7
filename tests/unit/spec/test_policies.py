"""Resources, failure handlers, actions, schemas, and the fields that are only kept."""

import msgspec
import pytest

from tests.endless_schema import endless_schema
from torcd import errors, model, spec
from torcd.spec import (
    ActionSpec,
    FailureHandlerSpec,
    FailureRuleSpec,
    JobSpec,
    ResourceRequirementsSpec,
    UserDataSpec,
    WorkflowSpec,
    schemas,
)
from torcd.spec.durations import duration_seconds


def expand(*jobs: JobSpec, **fields: object) -> model.Workflow:
    written = msgspec.structs.replace(WorkflowSpec(jobs=jobs), **fields)
    arrived = msgspec.json.decode(msgspec.json.encode(written), type=WorkflowSpec)
    return spec.expand(arrived, directory="/", default_name="w")


def warnings(*jobs: JobSpec, **fields: object) -> list[tuple[str, str]]:
    written = msgspec.structs.replace(WorkflowSpec(jobs=jobs), **fields)
    found = spec.check(written)
    assert {p.severity for p in found} <= {"warning"}
    return [(p.path, p.message) for p in found]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT30M", 1800),
        ("PT2H", 7200),
        ("P0DT1H", 3600),
        ("P1DT12H", 129_600),
        ("P2W", 1_209_600),
        ("PT1H30M15.5S", 5415.5),
        ("PT0,5S", 0.5),
        ("PT0S", None),
        ("P", None),
        ("PT", None),
        ("P1DT", None),
        ("P1M", None),
        ("P1Y", None),
        ("1h", None),
        ("PT1M1H", None),
        ("PT-1H", None),
        ("P999999999999W", None),
    ],
)
def test_durations_are_those_of_iso_8601_of_a_fixed_length(
    text: str, seconds: float | None
) -> None:
    assert duration_seconds(text) == seconds


def test_a_job_asks_for_what_it_names_and_jobs_share_it() -> None:
    small = ResourceRequirementsSpec(
        name="small_2", num_cpus=2, memory="1g", num_gpus=1, runtime="PT1M"
    )
    first, second, third = expand(
        JobSpec(name="a{i}", command="x", resource_requirements="small_{i}", parameters={"i": 2}),
        JobSpec(command="x", resource_requirements="small_2"),
        JobSpec(command="x"),
        resource_requirements=(small,),
    ).jobs
    assert first.resources == model.Resources(
        num_cpus=2, memory_bytes=1024**3, num_gpus=1, runtime_seconds=60
    )
    assert first.resources is second.resources
    assert third.resources is None


def test_failure_handlers_are_put_into_the_words_of_the_model() -> None:
    rules = (
        FailureRuleSpec(exit_codes=(1, -9), recovery_script="fix", max_retries=0, backoff=0.5),
        FailureRuleSpec(match_all_exit_codes=True, on=("oom",), max_backoff=60, jitter=0.25),
    )
    fields = {"failure_handlers": (FailureHandlerSpec(name="again", rules=rules),)}
    jobs = [JobSpec(command="x", failure_handler="again") for _ in range(3)]
    workflow = expand(*jobs, **fields)
    assert {job.failure_handler for job in workflow.jobs} == {"again"}
    assert workflow.failure_handlers == (
        model.FailureHandler(
            name="again",
            rules=(
                model.FailureRule(
                    exit_codes=(1, -9), recovery_script="fix", max_retries=0, backoff_seconds=0.5
                ),
                model.FailureRule(
                    match_all_exit_codes=True,
                    on=(model.Reason.OOM,),
                    max_backoff_seconds=60,
                    jitter=0.25,
                ),
            ),
        ),
    )
    assert warnings(*jobs, **fields) == []
    assert expand(*jobs, **fields, max_retries=5).max_retries == 5


def test_actions_know_their_jobs_by_name_and_by_regex() -> None:
    workflow = expand(
        *(JobSpec(name=name, command="x") for name in ("a", "b1", "b2", "c")),
        actions=(
            ActionSpec(
                trigger_type="on_workflow_start", action_type="run_commands", commands=("one",)
            ),
            ActionSpec(
                trigger_type="on_jobs_complete",
                action_type="run_commands",
                commands=("two", "three"),
                jobs=("c", "b1"),
                job_name_regexes=("^b",),
                persistent=True,
            ),
        ),
    )
    assert workflow.actions == (
        model.Action(trigger="on_workflow_start", commands=("one",)),
        model.Action(
            trigger="on_jobs_complete",
            commands=("two", "three"),
            jobs=(model.JobKey(2), model.JobKey(3), model.JobKey(4)),
            persistent=True,
        ),
    )


def test_schedule_nodes_is_taken_and_named_as_without_effect() -> None:
    action = ActionSpec(
        trigger_type="on_jobs_ready",
        action_type="schedule_nodes",
        jobs=("a",),
        scheduler="s",
        scheduler_type="slurm",
        num_allocations=2,
    )
    job = JobSpec(name="a", command="x")
    assert expand(job, actions=(action,)).actions == ()
    assert warnings(job, actions=(action,)) == [
        ("actions[0].action_type", "schedule_nodes has no effect on one machine")
    ]


FOR_CLUSTERS = b"""
jobs: [{name: a, command: x, scheduler: s}]
slurm_schedulers: [{name: s, account: me, nodes: 2, walltime: "01:00:00"}]
slurm_defaults: {qos: high, requeue: true, nice: 5, share: 0.5}
resource_monitor: {enabled: true, granularity: time_series, sample_interval_seconds: 5}
schedulers: {slurm_schedulers: [{name: x}]}
config: {compute_node_resource_stats: {cpu: true}}
compute_node_expiration_buffer_seconds: 60
compute_node_ignore_workflow_completion: false
compute_node_wait_for_healthy_database_minutes: 1
compute_node_wait_for_new_jobs_seconds: 0
use_pending_failed: true
jobs_sort_method: gpus_runtime_memory
"""


def test_what_is_for_clusters_is_kept_and_named_once_each() -> None:
    document = spec.read(FOR_CLUSTERS, file="w.yaml")
    workflow = spec.expand(document.spec, directory="/", default_name="w")
    kept = {name: msgspec.json.decode(text) for name, text in workflow.without_effect.items()}
    assert kept["slurm_defaults"] == {"qos": "high", "requeue": True, "nice": 5, "share": 0.5}
    assert kept["config"] == {"compute_node_resource_stats": {"cpu": True}}
    assert kept["slurm_schedulers"][0]["walltime"] == "01:00:00"
    assert workflow.jobs[0].scheduler == "s"
    assert workflow.jobs_sort_method == "gpus_runtime_memory"
    assert {p.path for p in document.warnings} == {*kept, "jobs[0].scheduler"}
    assert all("effect" in p.message for p in document.warnings)


def test_a_schema_is_kept_as_it_was_written_and_without_a_word() -> None:
    text = b'{"type":  "integer", "maximum": 1.10}'
    item = UserDataSpec(name="v", schema=msgspec.Raw(text))
    (data,) = expand(JobSpec(command="x"), user_data=(item,)).user_data
    assert bytes(data.schema or b"") == text
    assert warnings(JobSpec(command="x"), user_data=(item,)) == []


def test_each_copy_has_the_schema_of_its_parameters() -> None:
    item = UserDataSpec(
        name="v{i}",
        schema=msgspec.Raw(b'{"enum": ["{i}", null]}'),
        data=msgspec.Raw(b'"{i}"'),
        parameters={"i": "1:3"},
    )
    copies = expand(JobSpec(command="x"), user_data=(item,)).user_data
    assert [bytes(copy.schema or b"") for copy in copies] == [
        b'{"enum": ["1", null]}',
        b'{"enum": ["2", null]}',
        b'{"enum": ["3", null]}',
    ]


def test_the_daemon_refuses_data_that_does_not_fit_as_validate_does() -> None:
    item = UserDataSpec(
        name="v", schema=msgspec.Raw(b'{"items": {"minLength": 2}}'), data=msgspec.Raw(b'["a"]')
    )
    with pytest.raises(errors.InvalidSpec) as refused:
        expand(JobSpec(command="x"), user_data=(item,))
    assert str(refused.value) == (
        "user_data[0].data[0]: the data does not fit its schema: "
        "expected at least 2 characters, not 1"
    )


@pytest.mark.large
def test_of_schemas_that_take_for_ever_one_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "TOTAL_CPU_SECONDS", 1)
    endless = [
        UserDataSpec(name=f"v{n}", schema=msgspec.Raw(endless_schema(n)), data=msgspec.Raw(b"1"))
        for n in range(50)
    ]
    with pytest.raises(errors.InvalidSpec) as refused:
        expand(JobSpec(command="x"), user_data=tuple(endless))
    first, *others = str(refused.value).splitlines()
    assert first.startswith("user_data[0].schema: the schema cannot be checked: it takes more")
    assert len(others) == 49
    assert all("not tried" in other for other in others)


def test_asking_for_more_than_this_machine_has_is_a_warning() -> None:
    text = b"""{jobs: [{command: "x", resource_requirements: "r"}],
    resource_requirements: [{name: "r", num_cpus: 99999, memory: "900t", num_gpus: 9999}]}"""
    assert spec.read(text, file="w.json5").warnings == []
    document = spec.read(text, file="w.json5", compare_with_machine=True)
    assert [(p.path.rpartition(".")[2], p.severity) for p in document.warnings] == [
        ("num_cpus", "warning"),
        ("memory", "warning"),
        ("num_gpus", "warning"),
    ]
    assert "asks for 99999 CPUs, and this machine has" in document.warnings[0].message
    assert "asks for 900 TiB of memory, and this" in document.warnings[1].message
