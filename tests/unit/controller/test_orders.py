"""In which order the executor hears of attempts, and what it hears after a restart."""

import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import msgspec
import pytest
import structlog
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint

from torcd import value
from torcd.controller import Controller, Settings
from torcd.controller.launching import Launcher
from torcd.controller.layout import Layout
from torcd.controller.preparing import Preparer
from torcd.executors import base
from torcd.feed import Feed
from torcd.model import (
    AttemptKey,
    DataKey,
    Job,
    JobKey,
    JobStatus,
    Reason,
    UserData,
    Workflow,
    WorkflowKey,
    WorkflowStatus,
)
from torcd.scheduler import Scheduler
from torcd.scheduler import events as e
from torcd.scheduler.commands import StartAttempt
from torcd.scheduler.job_states import Ended
from torcd.store import Store

VALUE = value.parse(b"1", name="d")


class RecordingExecutor:
    """Notes what it is asked for, and does nothing."""

    held_up: str | None = None

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.has_started = anyio.Event()

    async def run(
        self, report: Callable[[list[base.Report]], None], *, task_status: TaskStatus[None]
    ) -> None:
        task_status.started()
        await anyio.sleep_forever()

    def add_environment(self, name: str, variables: object) -> None: ...

    def remove_environment(self, name: str) -> None: ...

    def start(self, orders: Iterable[base.AttemptOrder]) -> None:
        self.asked += [("start", order.attempt_key) for order in orders]
        self.has_started.set()

    def stop(self, attempt_key: int, grace_seconds: float | None) -> None:
        self.asked.append(("stop", attempt_key))

    def revoke(self, attempt_key: int) -> None:
        self.asked.append(("revoke", attempt_key))

    def freeze(self, attempt_key: int) -> None:
        self.asked.append(("freeze", attempt_key))

    def thaw(self, attempt_key: int) -> None:
        self.asked.append(("thaw", attempt_key))

    def acknowledge(self, attempts: Iterable[int]) -> None: ...


@pytest.fixture(autouse=True)
def attempts_directory(tmp_path: Path) -> None:
    Path(Layout(str(tmp_path)).attempts).mkdir()


@asynccontextmanager
async def serving(
    directory: Path, *, boot_id: str = "one boot"
) -> AsyncIterator[tuple[Controller, RecordingExecutor]]:
    """A controller over what is in the directory; again for the next daemon."""
    settings = Settings(
        socket="s",
        state_dir=str(directory),
        shell="bash",
        max_value_bytes=1000,
        termination_grace_seconds=1,
        boot_id=boot_id,
    )
    async with Store.open(directory / "torcd.db") as store:
        counters = store.counters()
        scheduler = Scheduler(
            next_key=counters.next_key,
            next_attempt_key=counters.next_attempt_key,
            next_happening=counters.next_happening,
        )
        executor = RecordingExecutor()
        controller = Controller(
            settings, scheduler, store, executor, Feed(), structlog.get_logger()
        )
        async with anyio.create_task_group() as tasks:
            await tasks.start(controller.run)
            yield controller, executor
            tasks.cancel_scope.cancel()


def submitted(directory: Path, *, reads_data: bool) -> e.SubmitRequested:
    data = UserData(key=DataKey(3), name="d", data=msgspec.Raw(b"1"))
    job = Job(
        key=JobKey(2),
        name="a",
        command="true",
        input_user_data=(data.key,) if reads_data else (),
    )
    return e.SubmitRequested(
        workflow=Workflow(
            key=WorkflowKey(1), name="w", jobs=(job,), user_data=(data,), directory=str(directory)
        ),
        max_parallel_jobs=1,
        initial_values={data.key: VALUE},
        absent_files=frozenset(),
        wait_for_inputs=False,
        at=Controller.now(),
    )


def cancel() -> e.CancelRequested:
    return e.CancelRequested(workflow_key=WorkflowKey(1), jobs=None, at=Controller.now())


def ask(tasks: Any, controller: Controller, *requests: e.Event) -> None:
    for request in requests:
        tasks.start_soon(controller.request, request)


async def test_what_is_started_and_stopped_in_one_batch_is_started_first(tmp_path: Path) -> None:
    async with serving(tmp_path) as (controller, executor):
        async with anyio.create_task_group() as tasks:
            ask(tasks, controller, submitted(tmp_path, reads_data=False), cancel())
        assert executor.asked == [("start", 1), ("stop", 1)]


async def test_a_stop_is_repeated_after_a_restart_once_the_attempt_is_known(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as (controller, _):
        await controller.request(submitted(tmp_path, reads_data=False))
        await controller.request(cancel())
    async with serving(tmp_path) as (_, executor):
        assert executor.asked == [("start", 1), ("stop", 1)]


async def test_an_attempt_that_may_run_since_an_earlier_daemon_is_not_said_never_to_have_started(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as (controller, executor):
        await controller.request(submitted(tmp_path, reads_data=True))
        await executor.has_started.wait()
        await controller.request(e.PauseRequested(WorkflowKey(1), Controller.now()))
    async with serving(tmp_path) as (controller, executor):
        await controller.settled()
        assert executor.asked == [("start", 1), ("revoke", 1)]
        assert controller.scheduler.active_attempt(1) is not None


async def test_one_that_is_stopped_before_its_order_is_given_has_never_started(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as (controller, executor):
        async with anyio.create_task_group() as tasks:
            ask(tasks, controller, submitted(tmp_path, reads_data=True), cancel())
        await controller.settled()
        node = controller.scheduler.workflows[WorkflowKey(1)]
        assert node.status is WorkflowStatus.CANCELED
        assert executor.asked == []


async def test_what_ran_when_the_machine_was_restarted_is_lost_and_not_ordered_again(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as (controller, _):
        await controller.request(submitted(tmp_path, reads_data=False))
    async with serving(tmp_path, boot_id="the next boot") as (controller, executor):
        await controller.settled()
        state = controller.scheduler.workflows[WorkflowKey(1)].jobs[JobKey(2)].state
        assert isinstance(state, Ended)
        assert (state.status, state.reason) == (JobStatus.FAILED, Reason.LOST)
        assert executor.asked == []


class SlowStore:
    """Its second answer takes until somebody says so."""

    def __init__(self) -> None:
        self.asked = 0
        self.was_asked_twice = anyio.Event()
        self.may_answer = anyio.Event()

    async def value(self, key: DataKey) -> None:
        self.asked += 1
        if self.asked == 2:
            self.was_asked_twice.set()
            await self.may_answer.wait()


async def test_one_is_with_the_preparer_until_it_is_with_the_executor(tmp_path: Path) -> None:
    scheduler = Scheduler()
    request = submitted(tmp_path, reads_data=True)
    other = msgspec.structs.replace(request.workflow.jobs[0], key=JobKey(4), name="b")
    workflow = msgspec.structs.replace(request.workflow, jobs=(*request.workflow.jobs, other))
    commands = scheduler.handle(
        msgspec.structs.replace(request, workflow=workflow, max_parallel_jobs=2)
    )
    starts = [command for command in commands if isinstance(command, StartAttempt)]
    assert len(starts) == 2
    store = SlowStore()
    layout = Layout(str(tmp_path))
    ordered = anyio.Event()
    orders: list[int] = []

    def give(prepared: list[base.AttemptOrder]) -> None:
        orders.extend(order.attempt_key for order in prepared)
        ordered.set()

    preparer = Preparer(
        scheduler,
        store,
        layout,
        give,
        lambda *_: None,
        lambda: None,
        None,  # type: ignore[arg-type]
    )
    for start in starts:
        preparer.take(start, _order(start))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(preparer.run)
        await store.was_asked_twice.wait()
        assert preparer.forget(starts[0].attempt_key)
        store.may_answer.set()
        await ordered.wait()
        tasks.cancel_scope.cancel()
    assert orders == [starts[1].attempt_key]


def _order(start: StartAttempt) -> base.AttemptOrder:
    return base.AttemptOrder(
        attempt_key=start.attempt_key,
        lane=1,
        lane_limit=2,
        argv=("true",),
        base_environment="w",
        environment={},
        cwd="/",
        stdout=None,
        stderr=None,
    )


async def test_an_attempt_that_is_forgotten_while_another_is_prepared_leaves_nothing(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as (controller, executor):
        await controller.request(submitted(tmp_path, reads_data=True))
        await executor.has_started.wait()
        node = controller.scheduler.workflows[WorkflowKey(1)]
        ordered: list[base.AttemptOrder] = []
        failed: list[int] = []

        class ForgetfulStore:
            """While the first value is read, the second attempt is taken back; its workflow is
            gone from memory by the time it would be its turn."""

            async def value(self, key: DataKey) -> None:
                preparer.forget(AttemptKey(12))
                preparer.forget(AttemptKey(11))

        scheduler: Any = SimpleNamespace(workflows={WorkflowKey(1): node})
        store: Any = ForgetfulStore()
        layout = Layout(str(tmp_path))
        preparer = Preparer(
            scheduler,
            store,
            layout,
            ordered.extend,
            lambda key, _: failed.append(key),
            lambda: None,
            None,
        )
        for attempt, workflow in ((11, 1), (12, 2), (13, 1)):
            start = StartAttempt(
                attempt_key=AttemptKey(attempt),
                workflow_key=WorkflowKey(workflow),
                job=node.jobs[JobKey(2)].job,
                run_id=1,
                attempt_id=1,
                max_parallel_jobs=1,
            )
            order = Launcher(layout, b"secret", "sh").order(start, node.workflow)
            preparer.take(start, order)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(preparer.run)
            with anyio.fail_after(5):
                while not ordered:
                    await checkpoint()
            tasks.cancel_scope.cancel()
        assert [order.attempt_key for order in ordered] == [13]
        assert failed == []
        assert names_in(layout.attempts) == ["1.inputs.json", "13.inputs.json"]


def names_in(directory: str) -> list[str]:
    return sorted(os.listdir(directory))
