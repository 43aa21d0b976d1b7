"""The users whom root's daemon serves: who they are, their groups and limits, and who is an admin.

All of it is the system's to say: the kernel tells the uid of whoever is at the other end of a
socket, the user database (files, LDAP, whatever the C library asks) what that user is called and in
which groups, and PAM with which limits a user works. It may take its time, so it is asked in a
thread, and kept for a while: a user who is put into a group, or out of one, is known as such by the
next connection or job that comes some seconds later.
"""

import grp
import json
import os
import pwd
import subprocess
import sys
import time
from typing import Any

import anyio
import msgspec
from anyio import to_thread

from torcd import limits_program
from torcd.errors import Denied, ExecutorError
from torcd.model import Owner

FRESH_SECONDS = 10.0
"""How old what is known of a user may be. Looking it up takes a process, for the limits."""

LIMITS_SECONDS = 30.0
"""How long PAM may take."""

PAM_DIRECTORIES = ("/etc/pam.d", "/usr/lib/pam.d")
"""Without a file of ours PAM would take that for unknown services, which asks for anything."""


class Account(msgspec.Struct, frozen=True):
    """A user to run jobs as. In an order the warden reads these names."""

    uid: int
    gid: int
    name: str
    groups: tuple[int, ...]
    limits: tuple[tuple[int, int, int], ...] = ()
    """Number, soft and hard value of resource limits that are not those of the daemon."""


class Peer(msgspec.Struct, frozen=True):
    """Who is at the other end of a connection."""

    uid: int
    is_admin: bool
    """May see and do everything."""


class Accounts:
    """`users_group` empty: the daemon serves the user whom it runs as (and root), and nobody is
    looked up."""

    def __init__(
        self,
        users_group: str = "",
        admin_group: str = "",
        log: Any = None,
        own_uid: int | None = None,
    ) -> None:
        """`own_uid`: whom the daemon runs as, if not this process's user."""
        self._users_group = users_group
        self.is_shared = bool(users_group)
        """It serves several users."""
        self._admin_group = admin_group
        self._log = log
        self.own_uid = os.geteuid() if own_uid is None else own_uid
        self._own = Owner(self.own_uid, _name(self.own_uid))
        self._known: dict[int, Account | str] = {}
        """By uid; or why there is none."""
        self._roles: dict[int, tuple[bool, bool]] = {}
        """Whether they are members, and admins."""
        self._looked_up: dict[int, float] = {}
        """When, in monotonic seconds."""
        self._lookups: dict[int, anyio.Lock] = {}
        """Who comes with a hundred connections is looked up once."""
        self._stale: set[int] = set()
        self._wake = anyio.Event()

    async def run(self) -> None:
        """Look up again, until cancelled, who was asked for and is not known freshly."""
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            while self._stale:
                await self.look_up(self._stale.pop())

    # Who asks

    def peer_at_once(self, uid: int) -> Peer | None:
        """One who need not be looked up."""
        return Peer(uid, is_admin=True) if uid in (self.own_uid, 0) else None

    async def peer(self, uid: int) -> Peer:
        """Raises Denied for one who may not use this daemon."""
        known = self.peer_at_once(uid)
        if known is not None:
            return known
        if not self.is_shared:
            raise Denied(f"this is the daemon of user {self.own_uid}; you are user {uid}")
        account = await self.look_up(uid)
        if isinstance(account, str):
            raise Denied(account)
        is_member, is_admin = self._roles[uid]
        if not is_admin and not is_member:
            raise Denied(
                f"user {account.name} is not in the group {self._users_group}, whose members may "
                f"use this torcd; root can mend that: usermod -aG {self._users_group} "
                f"{account.name}"
            )
        return Peer(uid, is_admin)

    def owner(self, uid: int) -> Owner:
        """What to write down of one who submits."""
        if uid == self.own_uid or not self.is_shared:
            return self._own
        account = self._known.get(uid)
        return Owner(uid, account.name if isinstance(account, Account) else str(uid))

    def is_own(self, peer: Peer, owner: Owner | None) -> bool:
        """Whether what that user owns is the peer's to see and to change."""
        return peer.is_admin or self.uid_of(owner) == peer.uid

    def may_say_what_runs(self, peer: Peer, owner: Owner | None) -> bool:
        """Whether what that user's jobs do is the peer's to say: not an admin's, who would be every
        user then, and root."""
        return peer.uid in (self.uid_of(owner), self.own_uid)

    def uid_of(self, owner: Owner | None) -> int:
        """Whose it is; what was submitted before owners were written down is the daemon's own."""
        return self.own_uid if owner is None or not self.is_shared else owner.uid

    # Whom to be

    async def look_up(self, uid: int) -> Account | str:
        """Who that is, as of a moment ago at most; or why it is nobody."""
        if uid == self.own_uid or not self.is_shared:
            return "it is this user"
        async with self._lookups.setdefault(uid, anyio.Lock()):
            if not self._is_fresh(uid):
                found, self._roles[uid] = await to_thread.run_sync(self._find, uid)
                self._looked_up[uid] = time.monotonic()
                if isinstance(found, str) and self._log is not None:
                    self._log.warning("a user cannot be looked up", uid=uid, problem=found)
                self._known[uid] = found
        return self._known[uid]

    def _find(self, uid: int) -> tuple[Account | str, tuple[bool, bool]]:
        """And whether that is a member, and an admin. Takes its time."""
        found = _find(uid)
        if isinstance(found, str):
            return found, (False, False)
        return found, (_is_in(found, self._users_group), _is_in(found, self._admin_group))

    def _is_fresh(self, uid: int) -> bool:
        at = self._looked_up.get(uid)
        return at is not None and time.monotonic() <= at + FRESH_SECONDS

    def runs_as(self, owner: Owner | None) -> Account | None:
        """Whom the jobs of a workflow are to be run as; None: whom we are. They must have been
        looked up before, be it long ago. Raises ExecutorError when there is no such user."""
        if owner is None or not self.is_shared or owner.uid == self.own_uid:
            return None
        uid = owner.uid
        if not self._is_fresh(uid):
            self._stale.add(uid)
            self._wake.set()
        found = self._known.get(uid, f"user {uid} was not looked up")
        if isinstance(found, str):
            raise ExecutorError(found)
        return found

    def acts_as(self, owner: Owner | None) -> Account | None:
        """The same for looking at files: a user who is not there any more may do what everybody
        may."""
        if not self.is_shared:
            return None
        try:
            return self.runs_as(owner)
        except ExecutorError:
            uid = self.uid_of(owner)
            return Account(uid, uid, str(uid), ())


def _is_in(account: Account, group: str) -> bool:
    try:
        return bool(group) and grp.getgrnam(group).gr_gid in (account.gid, *account.groups)
    except KeyError:
        return False


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _find(uid: int) -> Account | str:
    try:
        found = pwd.getpwuid(uid)
    except KeyError:
        return f"there is no user {uid} (any more) in the system's user database"
    try:
        groups = tuple(os.getgrouplist(found.pw_name, found.pw_gid))
    except OSError as error:
        return f"the groups of user {found.pw_name} cannot be looked up: {error}"
    try:
        limits = _limits(found.pw_name)
    except (OSError, ValueError, TypeError, subprocess.SubprocessError) as error:
        return f"PAM does not let user {found.pw_name} work here: {error}"
    return Account(uid, found.pw_gid, found.pw_name, groups, limits)


def _limits(name: str) -> tuple[tuple[int, int, int], ...]:
    paths = (os.path.join(directory, limits_program.SERVICE) for directory in PAM_DIRECTORIES)
    if not any(map(os.path.exists, paths)):
        return ()
    done = subprocess.run(
        [sys.executable, "-I", "-S", limits_program.__file__, name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        timeout=LIMITS_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise ValueError(done.stdout.decode(errors="replace").strip() or "it does not say why")
    return tuple((number, soft, hard) for number, soft, hard in json.loads(done.stdout))
