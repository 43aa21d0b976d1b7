"""Files are touched with the rights of a user, by one thread, for as long as it takes."""

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.second_user import NOBODY, needs_root
from torcd import impersonation
from torcd.accounts import Account
from torcd.errors import ConfigError
from torcd.impersonation import acting_as, as_user, check_possible

USER = Account(NOBODY, NOBODY, "nobody", (NOBODY,))


@pytest.fixture
def place() -> Iterator[Path]:
    """Where everybody may write."""
    with tempfile.TemporaryDirectory(prefix="torcd-") as directory:
        Path(directory).chmod(0o777)
        yield Path(directory)


def rights() -> list[str]:
    lines = Path("/proc/thread-self/status").read_text().splitlines()
    return [line for line in lines if line.startswith(("Uid", "Gid", "Groups", "CapEff"))]


@needs_root
def test_what_the_user_may_not_the_thread_may_not_either(place: Path) -> None:
    (place / "secret").write_text("x")
    (place / "secret").chmod(0o600)
    with acting_as(USER), pytest.raises(PermissionError):
        (place / "secret").read_text()
    assert (place / "secret").read_text() == "x"


@needs_root
def test_what_it_makes_is_the_users(place: Path) -> None:
    as_user(USER, (place / "made").write_text, "x")
    facts = (place / "made").stat()
    assert (facts.st_uid, facts.st_gid) == (NOBODY, NOBODY)


@needs_root
def test_groups_of_our_own_do_not_count(place: Path) -> None:
    (place / "of-a-group").write_text("x")
    os.chown(place / "of-a-group", 0, 2)
    (place / "of-a-group").chmod(0o640)
    before = os.getgroups()
    os.setgroups([2])
    try:
        with acting_as(USER), pytest.raises(PermissionError):
            (place / "of-a-group").read_text()
        assert os.getgroups() == [2]
    finally:
        os.setgroups(before)


@needs_root
def test_afterwards_all_is_as_before_also_after_an_error() -> None:
    before = rights()

    def fails() -> None:
        seen.append(rights())
        raise ZeroDivisionError

    seen: list[list[str]] = []
    with pytest.raises(ZeroDivisionError):
        as_user(USER, fails)
    assert seen != [before]
    assert rights() == before


@needs_root
def test_other_threads_notice_nothing() -> None:
    before = rights()
    seen = []
    with acting_as(USER):
        # One that was there before: a new one would begin with this one's rights.
        asking.set()
        answered.wait(10)
        seen.append(answers.pop())
    assert seen == [before]


asking, answered = threading.Event(), threading.Event()
answers: list[list[str]] = []


@pytest.fixture(autouse=True)
def another_thread() -> Iterator[None]:
    asking.clear()
    answered.clear()
    over = threading.Event()

    def wait() -> None:
        asking.wait(10)
        answers.append(rights())
        answered.set()
        over.wait(10)

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    asking.set()
    over.set()
    thread.join()
    answers.clear()


def test_nobody_to_be_changes_nothing() -> None:
    before = rights()
    with acting_as(None):
        assert rights() == before


def test_a_machine_whose_kernel_is_not_known_serves_root_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check_possible()
    monkeypatch.setattr(impersonation, "_SETGROUPS", None)
    with pytest.raises(ConfigError, match='set users_group = "" in the configuration'):
        check_possible()
