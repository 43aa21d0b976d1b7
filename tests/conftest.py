"""Fixtures of all tests."""

import gc
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.daemon_process import Daemon, running_daemon
from tests.inheriting import inherit_orphans

# The same examples each time, so that a change is what makes a test fail. `make fuzz` tries others.
settings.register_profile("steady", derandomize=True, database=None)
settings.register_profile("brief", settings.get_profile("steady"), max_examples=25)  # `make check`
settings.register_profile("random", max_examples=1_000)
settings.load_profile("steady")

# Shells start what they put in the background with SIGINT ignored, and what is ignored is inherited
# by the programs that tests press Ctrl-C in.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def orphans_are_not_ours() -> None:
    """An executor in this process, of an earlier test, may have made it their parent: then a warden
    waits for us to tell how they ended."""
    inherit_orphans(False)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon of this test's own, serving."""
    with running_daemon(tmp_path) as running:
        yield running


def pytest_collection_finish() -> None:
    """What was imported and collected stays: the collector need not look through it each time."""
    gc.collect()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--torture",
        action="store_true",
        help="campaigns of faults at full length, which take hours together",
    )
    parser.addoption(
        "--packages",
        action="store_true",
        help="install torcd into clean environments, which takes a package index",
    )
