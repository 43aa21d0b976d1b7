"""What the executor reports, as the scheduler has it."""

import pytest

from torcd.controller.batch import end_of
from torcd.executors.base import Exited
from torcd.model import AttemptKey, Timestamp
from torcd.scheduler.events import AttemptExited


@pytest.mark.parametrize(("oom_kills", "ran_out"), [(0, False), (1, True), (3, True)])
def test_who_had_processes_killed_for_want_of_memory_ran_out_of_it(
    oom_kills: int, ran_out: bool
) -> None:
    report = Exited(
        AttemptKey(1),
        return_code=1,
        at=Timestamp(5),
        cpu_seconds=None,
        peak_memory_bytes=None,
        oom_kills=oom_kills,
    )
    event = end_of(report)
    assert isinstance(event, AttemptExited)
    assert event.ran_out_of_memory is ran_out
