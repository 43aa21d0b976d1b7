"""Who may use a daemon that serves several users, and who they are."""

import os
import pwd

import anyio
import pytest

from tests.second_user import GROUP, NOBODY, group_of, needs_root, stranger
from torcd import accounts as accounts_module
from torcd.accounts import Account, Accounts, Peer
from torcd.errors import Denied, ExecutorError
from torcd.model import Owner

NOWHERE = 4_000_000_000
"""A uid that nobody has."""


@pytest.fixture
def shared() -> Accounts:
    return Accounts(GROUP, group_of(stranger()), own_uid=0)


async def test_a_daemon_of_one_user_serves_that_user_and_root() -> None:
    accounts = Accounts(own_uid=NOBODY)
    assert await accounts.peer(NOBODY) == Peer(NOBODY, is_admin=True)
    assert await accounts.peer(0) == Peer(0, is_admin=True)
    with pytest.raises(Denied, match=f"this is the daemon of user {NOBODY}; you are user 1"):
        await accounts.peer(1)
    # Whoever submits, its jobs are that user's own.
    assert accounts.owner(0) == Owner(NOBODY, "nobody")
    assert accounts.runs_as(Owner(1, "another")) is None


async def test_members_of_the_group_and_of_the_admin_group_are_told_apart(
    shared: Accounts,
) -> None:
    assert await shared.peer(NOBODY) == Peer(NOBODY, is_admin=False)
    assert await shared.peer(stranger()) == Peer(stranger(), is_admin=True)
    without = Accounts(GROUP, "no-such-group", own_uid=0)
    with pytest.raises(Denied, match=f"is not in the group {GROUP}"):
        await without.peer(stranger())
    with pytest.raises(Denied, match=f"there is no user {NOWHERE}"):
        await without.peer(NOWHERE)


async def test_a_user_is_who_the_system_says(shared: Accounts) -> None:
    await shared.look_up(NOBODY)
    user = pwd.getpwuid(NOBODY)
    groups = tuple(os.getgrouplist(user.pw_name, user.pw_gid))
    found = shared.runs_as(Owner(NOBODY, "whatever it was called"))
    assert found == Account(NOBODY, user.pw_gid, "nobody", groups)


async def test_roots_own_jobs_run_as_the_daemon(shared: Accounts) -> None:
    assert shared.runs_as(Owner(0, "root")) is None
    assert shared.runs_as(None) is None


async def test_nobodys_jobs_are_not_run(shared: Accounts) -> None:
    gone = Owner(NOWHERE, "gone")
    with pytest.raises(ExecutorError, match="was not looked up"):
        shared.runs_as(gone)
    await shared.look_up(NOWHERE)
    with pytest.raises(ExecutorError, match=f"there is no user {NOWHERE}"):
        shared.runs_as(gone)
    # Its files may still have to be looked at: as somebody who may do what all may.
    assert shared.acts_as(gone) == Account(NOWHERE, NOWHERE, str(NOWHERE), ())


async def test_a_crowd_is_looked_up_once(shared: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def find(uid: int) -> Account:
        asked.append(uid)
        return Account(uid, 1, "x", ())

    monkeypatch.setattr(accounts_module, "_find", find)
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(shared.look_up, NOBODY)
    assert asked == [NOBODY]


async def test_what_is_known_for_long_is_used_and_looked_up_again(
    shared: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = anyio.Event()
    await shared.look_up(NOBODY)
    old = shared.runs_as(Owner(NOBODY, "nobody"))
    monkeypatch.setattr(accounts_module, "FRESH_SECONDS", -1.0)
    monkeypatch.setattr(accounts_module, "_find", lambda uid: Account(uid, 7, "moved", (7,)))
    look_up = shared.look_up

    async def and_tell(uid: int) -> Account | str:
        found = await look_up(uid)
        looked_up.set()
        return found

    monkeypatch.setattr(shared, "look_up", and_tell)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shared.run)
        assert shared.runs_as(Owner(NOBODY, "nobody")) == old
        with anyio.fail_after(10):
            await looked_up.wait()
        assert shared.runs_as(Owner(NOBODY, "nobody")) == Account(NOBODY, 7, "moved", (7,))
        tasks.cancel_scope.cancel()


@needs_root
async def test_whom_pam_does_not_let_in_runs_nothing(
    shared: Accounts, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setattr(accounts_module, "PAM_DIRECTORIES", (str(tmp_path),))
    monkeypatch.setattr(accounts_module.limits_program, "SERVICE", ".")
    monkeypatch.setattr(accounts_module.limits_program, "__file__", "/nowhere.py")
    found = await shared.look_up(NOBODY)
    assert isinstance(found, str)
    assert found.startswith("PAM does not let user nobody work here")
    with pytest.raises(Denied, match="PAM"):
        await shared.peer(NOBODY)
