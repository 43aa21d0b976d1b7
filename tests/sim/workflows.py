"""Random workflows, and what becomes of their jobs.

Everything random comes from `pick(n)`, a number below n, so that a seed repeats a workflow and
hypothesis can make one smaller.
"""

from collections.abc import Callable
from typing import Any, get_args

import msgspec

from tests.grouping import grouped
from torcd.model import (
    Action,
    ActionTrigger,
    Capacity,
    DataKey,
    File,
    FileKey,
    Job,
    JobKey,
    Resources,
    UserData,
    Workflow,
    WorkflowKey,
)

from .executor import Outcome, Owner

Pick = Callable[[int], int]

MAX_JOBS = 9


CAPACITY = Capacity(cpus=3, memory_bytes=1_000, gpus=2)
"""Of the make-believe machine."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    workflow: Workflow
    max_parallel_jobs: int
    wait_for_inputs: bool
    initial: frozenset[DataKey]
    absent_files: frozenset[FileKey]
    """Of those that no job makes."""
    outcomes: dict[Owner, Outcome]


def random_plan(pick: Pick, first_key: int) -> Plan:
    """Jobs wait only for jobs made before them here, but the spec lists them in any order."""

    def chance(one_in: int) -> bool:
        # Rare things happen at high numbers: hypothesis shrinks towards the ordinary.
        return pick(one_in) == one_in - 1

    n_jobs = 1 + pick(MAX_JOBS)
    n_files, n_data = pick(4), pick(4)
    order = sorted(range(n_jobs), key=lambda n: (pick(n_jobs), n))
    job_keys = [JobKey(first_key + 1 + order.index(n)) for n in range(n_jobs)]
    file_keys = [FileKey(first_key + 1 + n_jobs + n) for n in range(n_files)]
    data_keys = [DataKey(first_key + 1 + n_jobs + n_files + n) for n in range(n_data)]

    made_by, read_by = _ends(pick, n_jobs, n_files)
    stored_by, fetched_by = _ends(pick, n_jobs, n_data)

    def used(n: int, keys: list[Any], by: list[set[int]]) -> tuple[Any, ...]:
        return tuple(key for key, who in zip(keys, by, strict=True) if n in who)

    jobs = [
        Job(
            key=job_keys[n],
            name=f"j{n}",
            command="true",
            depends_on=tuple(job_keys[m] for m in range(n) if pick(n + 2) == 0),
            input_files=used(n, file_keys, read_by),
            output_files=used(n, file_keys, made_by),
            input_user_data=used(n, data_keys, fetched_by),
            output_user_data=used(n, data_keys, stored_by),
            cancel_on_blocking_job_failure=not chance(4),
            supports_termination=chance(2),
            priority=pick(3) - 1,
        )
        for n in range(n_jobs)
    ]
    initial = frozenset(key for key in data_keys if chance(5))
    outcomes = {job.key: _outcome(chance, pick, job) for job in jobs}
    absent_files = frozenset(
        key for key, who in zip(file_keys, made_by, strict=True) if not who and chance(2)
    )
    max_parallel_jobs = 1 + pick(4)
    wait_for_inputs = not chance(4)
    if chance(2):
        jobs = [msgspec.structs.replace(job, resources=_resources(chance, pick)) for job in jobs]
    plan = Plan(
        workflow=Workflow(
            key=WorkflowKey(first_key),
            name="w",
            jobs=tuple(jobs[n] for n in order),
            files=tuple(File(key=key, name=f"f{key}", path=f"/f{key}") for key in file_keys),
            user_data=tuple(
                UserData(
                    key=key,
                    name=f"d{key}",
                    data=msgspec.Raw(b"1") if key in initial else None,
                    available="on_store" if chance(2) else "on_completion",
                )
                for key in data_keys
            ),
        ),
        max_parallel_jobs=max_parallel_jobs,
        wait_for_inputs=wait_for_inputs,
        initial=initial,
        absent_files=absent_files,
        outcomes=outcomes,
    )
    if chance(2):
        plan = _with_actions(pick, plan)
    # Which lists are groups goes by the keys: it takes no part in what is random.
    workflow = grouped(plan.workflow, lambda members: sum(members) % 2 == 0)
    return msgspec.structs.replace(plan, workflow=workflow)


def _resources(chance: Callable[[int], bool], pick: Pick) -> Resources | None:
    """Sometimes more than there is."""
    if chance(3):
        return None
    return Resources(
        num_cpus=(1, 1, 2, 3, 9)[pick(5)],
        memory_bytes=(None, 300, 700, 5_000)[pick(4)],
        num_gpus=(0, 0, 1, 2, 4)[pick(5)],
        runtime_seconds=(None, 0.001, 0.02, 0.1)[pick(4)],
    )


def _with_actions(pick: Pick, plan: Plan) -> Plan:
    workflow = plan.workflow
    actions = tuple(_action(pick, workflow) for _ in range(1 + pick(4)))
    outcomes = {
        (workflow.key, number, command): Outcome(
            return_code=(0, 0, 0, 0, 1, -9)[pick(6)],
            start_problem="no such directory" if pick(16) == 15 else None,
        )
        for number, action in enumerate(actions, start=1)
        for command in range(1, len(action.commands) + 1)
    }
    return msgspec.structs.replace(
        plan,
        workflow=msgspec.structs.replace(workflow, actions=actions),
        outcomes={**plan.outcomes, **outcomes},
    )


def _action(pick: Pick, workflow: Workflow) -> Action:
    trigger = get_args(ActionTrigger)[pick(4)]
    jobs = [job.key for job in workflow.jobs]
    members = {jobs[pick(len(jobs))] for _ in range(1 + pick(4))} if "jobs" in trigger else set()
    return Action(
        trigger=trigger,
        commands=("true",) * (1 + pick(3)),
        jobs=tuple(key for key in jobs if key in members),
    )


def _ends(pick: Pick, n_jobs: int, n_things: int) -> tuple[list[set[int]], list[set[int]]]:
    """Who makes and who uses each of some things: all makers come before all users."""
    makers, users = [], []
    for _ in range(n_things):
        border = pick(n_jobs + 1)
        makers.append({pick(border) for _ in range(pick(3))} if border else set())
        users.append(
            {border + pick(n_jobs - border) for _ in range(pick(4))} if border < n_jobs else set()
        )
    return makers, users


def _outcome(chance: Callable[[int], bool], pick: Pick, job: Job) -> Outcome:
    if chance(16):
        return Outcome(start_problem="no such program")
    code = (0, 0, 0, 0, 1, -9)[pick(6)]
    stores, writes = [], []
    for key in job.output_user_data:
        how = pick(12)
        if how < 7 or how == 11:
            stores.append(key)
        if 4 <= how < 10:
            writes.append(key)
    return Outcome(
        return_code=code,
        stores=tuple(stores),
        writes=tuple(writes),
        missing_files=tuple(key for key in job.output_files if chance(10)),
        bad_output="line 1 is not NAME=JSON" if chance(20) else None,
    )
