"""Make a process out of an order, or say for people why there is none."""

import errno
import os
import signal

from torcd.executors.warden.lookup import find_program

TYPE_CHECKING = False  # as in typing, whose import would cost memory
if TYPE_CHECKING:
    from torcd.executors.warden.ledger import Order

OPEN = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOCTTY
LOG_MODE = 0o600
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
"""Where a program is looked for when the job's environment has no PATH."""

TO_DEFAULT = tuple(
    int(number)
    for number in sorted(signal.valid_signals())
    if number not in (signal.SIGKILL, signal.SIGSTOP)
)
"""All that can be: what Python or the warden changes, and what a shell or nohup may have handed
down. To name them all is also the quickest: the C library calls the kernel for each signal in any
case, and twice for one that is not named."""

FULL = (errno.ENOSPC, errno.EDQUOT)

_PASSING = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})


class CannotStart(Exception):
    """The order can not become a process. The text says why, for people."""


class NoRoom(Exception):
    """The system has no process, descriptor or memory to spare now; later it may."""


class DiskFull(NoRoom):
    """There is no room for a log file; later there may be."""

    def __init__(self, log: str, error: OSError) -> None:
        super().__init__(f"the disk is full: the log {log} cannot be created ({_why(error)})")
        self.log = log


def spawn(order: "Order") -> int:
    """Start it in a session of its own and return the pid; changes this process's directory. Its
    standard input is this process's."""
    try:
        os.chdir(order.cwd)
    except (OSError, ValueError) as error:
        raise cannot_enter(order.cwd, error) from error
    stdout, stderr = order.stdout, order.stderr
    actions: list[tuple[int, int, str, int, int] | tuple[int, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 1, stdout or os.devnull, OPEN, LOG_MODE),
    ]
    if stderr == stdout:
        actions.append((os.POSIX_SPAWN_DUP2, 1, 2))
    else:
        actions.append((os.POSIX_SPAWN_OPEN, 2, stderr or os.devnull, OPEN, LOG_MODE))
    if order.plain is not None:
        try:
            ready = order.base.prepare(order.plain, order.env, order.cwd)
            if ready is not None:
                return _spawn(ready[0], order.plain, ready[1], actions)
        except (OSError, ValueError):
            pass  # whatever is wrong, the shell meets it too
    argv = order.argv
    environment = {**order.base.variables, **order.env}
    program = find(argv, environment)
    try:
        try:
            return _spawn(program, argv, environment, actions)
        except FileNotFoundError:
            if stdout is None or not _make_directory(os.path.dirname(stdout)):
                raise
            return _spawn(program, argv, environment, actions)
    except OSError as error:
        if error.errno in _PASSING:
            raise NoRoom(_why(error)) from error
        if error.errno in FULL:  # running a program takes no room: it is a log
            raise DiskFull(stdout or stderr or "", error) from error
        raise CannotStart(explain(error, program, stdout, stderr)) from error
    except ValueError as error:  # a NUL byte, or text that no file system encoding can carry
        raise CannotStart(f"cannot start {argv[0]!r}: {error}") from error


def _spawn(
    program: str,
    argv: list[str],
    environment: dict[str, str],
    actions: list[tuple[int, int, str, int, int] | tuple[int, int, int]],
) -> int:
    return os.posix_spawn(
        program,
        argv,
        environment,
        file_actions=actions,
        setsid=True,
        setsigmask=(),
        setsigdef=TO_DEFAULT,
    )


def _make_directory(path: str) -> bool:
    """The one for logs: the daemon makes it, but where the disk was full it is left to us. Returns
    whether it was missing. Raises OSError."""
    if os.path.isdir(path):
        return False
    for directory in (os.path.dirname(path), path):
        try:
            os.mkdir(directory, 0o700)
        except FileExistsError:
            pass
    return True


def cannot_enter(cwd: str, error: Exception) -> CannotStart:
    return CannotStart(f"cannot enter the working directory {cwd}: {_why(error)}")


def has_room_for(log: str) -> bool:
    """Whether a log can be created now, as far as the disk is concerned."""
    try:
        _make_directory(os.path.dirname(log))
        os.close(os.open(log, OPEN | os.O_CLOEXEC, LOG_MODE))
    except OSError as error:
        return error.errno not in FULL
    return True


def find(argv: list[str], environment: dict[str, str]) -> str:
    """The file of the program. Raises CannotStart."""
    if not argv or not argv[0]:
        raise CannotStart("the command is empty")
    path = environment.get("PATH", DEFAULT_PATH)
    try:
        program = find_program(argv[0], path)
    except ValueError as error:
        raise CannotStart(f"cannot start {argv[0]!r}: {error}") from error
    if program is not None:
        return program
    raise CannotStart(
        f"there is no program {argv[0]} in the job's PATH; install it, or give the path of the file"
    )


def explain(error: OSError, program: str, stdout: str | None, stderr: str | None) -> str:
    """posix_spawn tells an error number and not whose it is: look for the culprit."""
    for log in (stdout, stderr):
        if log is not None and not _can_write(log):
            return f"cannot create the log file {log}: {_why(error)}"
    if error.errno == errno.ENOENT:
        if os.path.exists(program):
            return (
                f"cannot start {program}: it is there, but the interpreter "
                "(named on its first line, or in the binary) is not"
            )
        return f"there is no program {program}"
    if error.errno == errno.EACCES:
        if os.path.isdir(program):
            return f"cannot start {program}: it is a directory"
        return f"cannot start {program}: not executable by this user (chmod +x?)"
    if error.errno == errno.ENOEXEC:
        return f"cannot start {program}: neither a binary of this machine nor a script with #!"
    if error.errno == errno.E2BIG:
        return f"cannot start {program}: its arguments and environment are larger than exec allows"
    return f"cannot start {program}: {_why(error)}"


def _can_write(path: str) -> bool:
    try:
        os.close(os.open(path, OPEN | os.O_CLOEXEC, LOG_MODE))
    except OSError:
        return False
    return True


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
