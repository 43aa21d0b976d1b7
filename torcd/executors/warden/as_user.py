"""Start an attempt as another user, which only root's warden can.

posix_spawn cannot change who a process is, so here the warden forks itself. The child becomes the
user first (limits, groups, ids), and only then touches what the user could have prepared: the
working directory, the logs, the program. So it can do nothing that the user could not.

The warden does not wait for that: a directory may be on a file system that never answers, and
other users must not wait for this one. The child holds a pipe that exec closes. What comes out of
it is why there is no program; if nothing does, there is one, and from then on the attempt is told
as started.

Until exec the child has a copy of the warden's memory, with the environments of others in it. The
kernel lets the user not look into it, and makes no core of it: a process that has changed its user
is not dumpable until it has become another program.
"""

import errno
import json
import os
import resource
import select
import signal

from torcd.executors.warden import spawning
from torcd.executors.warden.ledger import Attempt
from torcd.executors.warden.libc import become_opaque
from torcd.executors.warden.processes import RLIMIT_LOCKS

TYPE_CHECKING = False  # as in typing, whose import would cost memory
if TYPE_CHECKING:
    from torcd.executors.warden.ledger import Order, User

_OPEN = spawning.OPEN | os.O_NOFOLLOW | os.O_CLOEXEC
"""A link would be the user's own, and lead to where only this user's rights lead; but "the disk is
full" would be believed of it."""
_PASSING = (errno.EAGAIN, errno.ENOMEM, errno.ENFILE)
"""Later there may be room: processes of this user, memory, files. (A quota that is used up does not
pass: that is for the user to see to.)"""
_PROBLEM_BYTES = 4096
"""A pipe takes so much in one piece."""
_PROBLEM_CHARACTERS = 600
"""Of a problem that is told: names of files may be long, and JSON takes up to six bytes for one."""


TRIES = 240
"""How often in a row it is tried to start something of a lane whose user may have no more
processes: some minutes."""

MAX_STARTING = 256
"""Of one user. A start takes a millisecond, and one that hangs a descriptor, which are for all."""


class Problem:
    """Why there is no program."""

    __slots__ = ("counts", "may_pass", "text")

    def __init__(self, text: str, may_pass: bool, counts: bool) -> None:
        self.text = text
        self.may_pass = may_pass
        """It is worth another try."""
        self.counts = counts
        """Not for ever; but a disk may be full for as long as it likes."""


class Starts:
    """The attempts whose process has yet to become its program."""

    def __init__(self) -> None:
        self.poller: select.epoll | None = None
        """Who waits for their pipes to tell something."""
        self._by_pipe: dict[int, Attempt] = {}
        self._pipes: dict[int, int] = {}
        """By attempt's key."""
        self._problems: dict[int, Problem] = {}
        """By attempt's key: what is known before its process is reaped."""

    def __contains__(self, pipe: int) -> bool:
        return pipe in self._by_pipe

    def __len__(self) -> int:
        return len(self._by_pipe)

    def are_enough(self, uid: int) -> bool:
        """Whether so many of a user's are under way that more have to wait."""
        if len(self._by_pipe) < MAX_STARTING:
            return False
        return sum(a.uid == uid for a in self._by_pipe.values()) >= MAX_STARTING

    def begin(self, attempt: Attempt, order: "Order", user: "User") -> int:
        """The pid. Raises NoRoom."""
        try:
            pipe, theirs = os.pipe2(os.O_CLOEXEC)
        except OSError as error:
            raise spawning.NoRoom(error.strerror or str(error)) from error
        try:
            pid = os.fork()
        except OSError as error:
            os.close(pipe)
            os.close(theirs)
            raise spawning.NoRoom(error.strerror or str(error)) from error
        if not pid:
            _become(order, user, theirs)
        os.close(theirs)
        attempt.starting = True
        self._by_pipe[pipe] = attempt
        self._pipes[attempt.key] = pipe
        if self.poller is not None:
            self.poller.register(pipe, select.EPOLLIN)
        return pid

    def told(self, pipe: int) -> Attempt | None:
        """A pipe has something to tell: the attempt, if it is its program now. Otherwise its
        process is about to end, and `problem` will say why."""
        attempt = self._by_pipe.pop(pipe)
        del self._pipes[attempt.key]
        said = os.read(pipe, _PROBLEM_BYTES)
        os.close(pipe)  # which also takes it out of epoll
        if said:
            self._problems[attempt.key] = Problem(*json.loads(said))
            return None
        attempt.starting = False
        return attempt

    def problem(self, attempt: Attempt) -> Problem | None:
        """Of one whose process has ended: why it never became its program; None: it did, or was
        killed before."""
        pipe = self._pipes.get(attempt.key)
        if pipe is not None:
            self.told(pipe)
        return self._problems.get(attempt.key)

    def is_worth_a_try(self, attempt: Attempt, problem: Problem) -> bool:
        """Whether it is to be started again, later."""
        if attempt.lane is None or attempt.stopped or not problem.may_pass:
            return False
        attempt.lane.tries += problem.counts
        return attempt.lane.tries <= TRIES

    def succeeded(self, attempt: Attempt) -> None:
        """It is its program now."""
        self.forget(attempt)
        if attempt.lane is not None:
            attempt.lane.tries = 0

    def forget(self, attempt: Attempt) -> None:
        """It is reaped."""
        self._problems.pop(attempt.key, None)
        attempt.starting = False


def _become(order: "Order", user: "User", pipe: int) -> None:
    """In the child. Never returns."""
    problem, may_pass, counts = "it could not be started as its user", False, True
    try:
        _close_all_but(pipe)
        _be(user)
        _run(order)
    except spawning.DiskFull as error:
        problem, may_pass, counts = str(error), True, False
    except (spawning.CannotStart, spawning.NoRoom) as error:
        problem, may_pass = str(error), isinstance(error, spawning.NoRoom)
    except BaseException as error:  # noqa: BLE001 - nobody else is there to be told
        problem = f"{problem}: {error}"
    finally:
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        text = problem.encode(errors="backslashreplace").decode()
        if len(text) > _PROBLEM_CHARACTERS:
            text = f"{text[: _PROBLEM_CHARACTERS - 100]} [...] {text[-100:]}"
        try:
            # As text, not escaped: then it stays within what a pipe takes in one piece.
            said = json.dumps([text, may_pass, counts], ensure_ascii=False)
            os.write(pipe, said.encode())
        finally:
            os._exit(127)


def _close_all_but(pipe: int) -> None:
    """What is the warden's is not for a process of somebody else, not even until exec."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != pipe:
            try:
                os.close(int(name))
            except OSError:  # the one that listed the directory
                pass


def _be(user: "User") -> None:
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in spawning.TO_DEFAULT:
        signal.signal(number, signal.SIG_DFL)
    for limit, soft, hard in user["limits"]:
        if limit != RLIMIT_LOCKS:  # that is the marker
            resource.setrlimit(limit, (soft, hard))
    uid, gid = user["uid"], user["gid"]
    os.setgroups(user["groups"])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    become_opaque()


def _run(order: "Order") -> None:
    try:
        os.chdir(order.cwd)
    except (OSError, ValueError) as error:
        raise spawning.cannot_enter(order.cwd, error) from error
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(_open_log(order.stdout), 1)
    os.dup2(1 if order.stderr == order.stdout else _open_log(order.stderr), 2)
    if order.plain is not None:
        try:
            ready = order.base.prepare(order.plain, order.env, order.cwd)
            if ready is not None:
                os.execve(ready[0], order.plain, ready[1])
        except (OSError, ValueError):
            pass  # whatever is wrong, the shell meets it too
    environment = {**order.base.variables, **order.env}
    program = spawning.find(order.argv, environment)
    try:
        os.execve(program, order.argv, environment)
    except OSError as error:
        if error.errno in _PASSING:
            raise spawning.NoRoom(spawning.explain(error, program, None, None)) from error
        raise spawning.CannotStart(spawning.explain(error, program, None, None)) from error
    except ValueError as error:
        raise spawning.CannotStart(f"cannot start {order.argv[0]!r}: {error}") from error


def _open_log(path: str | None) -> int:
    try:
        return os.open(path or os.devnull, _OPEN, spawning.LOG_MODE)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise spawning.DiskFull(path or "", error) from error
        problem = f"cannot create the log file {path}: {error.strerror}"
        raise spawning.CannotStart(problem) from error
