"""The warden's program. It is started by path, isolated and without site-packages, with

    directory boot_id state_id leave_children heir cgroups

as its arguments (two of them 0 or 1, the last a directory for cgroups or empty) and its first
connection as standard input. It says hello on it when it is ready; before that, or when another
warden of the directory does not end in time, it ends with a line on standard error, which is
`warden.log`.
"""

import fcntl
import os
import signal
import socket
import sys

if __name__ == "__main__":
    sys.path.insert(0, os.path.abspath(f"{__file__}/../../../.."))

from torcd.executors.warden.cgroups import Cgroups
from torcd.executors.warden.journal import UnreadableJournal, say
from torcd.executors.warden.libc import become_subreaper
from torcd.executors.warden.warden import Warden

LOCK_SECONDS = 10
"""How long an earlier warden may take to end before we give up."""
_UNWANTED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


def main() -> int:
    directory, boot_id, state_id, leave_children, heir, cgroups = sys.argv[1:]
    os.chdir("/")
    connection = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # our jobs' as well: one for all
    _close_all_but(connection.fileno())
    for number in _UNWANTED:
        signal.signal(number, signal.SIG_IGN)
    become_subreaper()
    if not _lock(f"{directory}/warden.lock"):
        say(f"another warden has {directory} and does not end")
        return 1
    try:
        warden = Warden(
            directory,
            boot_id,
            int(state_id),
            leave_children=leave_children == "1",
            heir=heir == "1",
            cgroups=_cgroups(cgroups, int(state_id)),
        )
    except (UnreadableJournal, OSError) as error:
        say(str(error))
        return 1
    warden.serve(connection)
    return 0


def _close_all_but(kept: int) -> None:
    """Descriptors that the daemon's parent left open must not reach jobs."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != kept:
            try:
                os.close(int(name))
            except OSError:  # the one that listed the directory
                pass


def _cgroups(parent: str, state_id: int) -> Cgroups | None:
    if not parent:
        return None
    try:
        return Cgroups(parent, state_id)
    except OSError as error:
        print(f"cannot make cgroups in {parent}, going on without: {error}", file=sys.stderr)
        return None


def _lock(path: str) -> bool:
    """Become the one warden of the directory, for life. The lock is of the kind that is a process's
    own: a child that has not become its program yet does not hold it when we are killed."""

    def give_up(number: int, frame: object) -> None:
        raise TimeoutError

    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(LOCK_SECONDS)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX)
    except TimeoutError:
        return False
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
    return True


if __name__ == "__main__":
    sys.exit(main())
