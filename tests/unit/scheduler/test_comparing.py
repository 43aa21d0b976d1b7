"""What has changed between two specs."""

import time

import msgspec
import pytest
from msgspec.structs import replace

from tests.grouping import grouped
from torcd.model import Job, JobKey, Workflow, WorkflowKey
from torcd.scheduler.comparing import difference

from .specs import job, workflow


def changes(old: Workflow, new: Workflow) -> list[tuple[str, str, str, tuple[str, ...]]]:
    return [(c.kind, c.name, c.how, c.fields) for c in difference(old, new, {}, {}).changes]


def test_a_group_in_place_of_a_list_is_no_change():
    plain = workflow({"a": job(), "b": job(), "c": job(after="a b"), "d": job(after="b a")})
    assert changes(plain, grouped(plain)) == []
    assert changes(grouped(plain), plain) == []


def test_each_field_that_has_changed_is_named():
    old = workflow({"a": job(), "b": job(reads="f", fetches="d")})
    [a, b] = old.jobs
    new = replace(
        old,
        env={"X": "1"},
        without_effect={"schedulers": msgspec.Raw(b"[]")},
        jobs=(
            replace(a, command=("a", "list"), stdio="none"),
            replace(b, input_files=(), depends_on=(a.key,), output_user_data=b.input_user_data),
        ),
        files=tuple(replace(file, path="/elsewhere") for file in old.files),
        user_data=tuple(replace(d, available="on_store", data=None) for d in old.user_data),
    )
    assert changes(old, new) == [
        ("workflow", "w", "changed", ("env", "schedulers")),
        ("job", "a", "changed", ("command", "stdio")),
        ("job", "b", "changed", ("depends_on", "input_files", "output_user_data")),
        ("file", "f", "changed", ("path",)),
        ("user_data", "d", "changed", ("available",)),
    ]


def test_another_directory_is_another_directory_of_the_jobs_that_have_none():
    old = workflow({"a": job(), "b": job()})
    [a, b] = old.jobs
    old = replace(old, jobs=(a, replace(b, cwd="/own")))
    assert changes(old, replace(old, directory="/other")) == [
        ("workflow", "w", "changed", ("directory",)),
        ("job", "a", "changed", ("cwd",)),
    ]


@pytest.mark.large
def test_thousands_that_wait_for_thousands_are_compared_at_once():
    first = [Job(key=JobKey(2 + n), name=f"a{n}", command="true") for n in range(3_000)]
    keys = tuple(one.key for one in first)
    then = [
        Job(key=JobKey(10_000 + n), name=f"b{n}", command="true", depends_on=keys)
        for n in range(3_000)
    ]
    plain = Workflow(key=WorkflowKey(1), name="w", jobs=(*first, *then))
    both = grouped(plain, first=20_000), grouped(plain, first=20_001)
    began = time.process_time()
    assert changes(*both) == []
    assert time.process_time() - began < 2
