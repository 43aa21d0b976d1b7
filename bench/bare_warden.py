"""The least warden in Python: what it takes to spawn as torcd does, and nothing else.

usage: bare_warden.py DIRECTORY COUNT AT_ONCE PROGRAM [ARGUMENT...]

Each process gets two log files, a session, default signals and an environment with some variables
of its own; a line is written before it is made, and one when it has ended. Two wardens have one
half each. There is no daemon, no database, nobody to tell, and nobody looks for what a process has
left behind. The seconds it took go to standard error. Standard library only.
"""

import os
import signal
import sys
import time

VARIABLES = 8
"""Of each process's own, as torcd's."""

WARDENS = 2
"""Where more than one is to run at a time, as torcd has it for short jobs."""

LOG = os.O_WRONLY | os.O_CREAT | os.O_APPEND

TO_DEFAULT = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
"""All, as the C library takes longer for those that it is not told."""


def variables(number: int) -> dict[str, str]:
    """A process's own."""
    return {f"TORC_VARIABLE_{i}": f"of number {number}" for i in range(VARIABLES)}


def spawn(directory: str, number: int, argv: list[str], environment: dict[str, str]) -> int:
    """With its two logs in the directory, and our standard input. Returns its pid."""
    return os.posix_spawn(
        argv[0],
        argv,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, f"{directory}/{number}.out", LOG, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, f"{directory}/{number}.err", LOG, 0o600),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=TO_DEFAULT,
    )


def shares(at_once: int) -> list[int]:
    """How many each of the wardens runs at a time."""
    wardens = min(WARDENS, at_once)
    return [at_once // wardens + (number < at_once % wardens) for number in range(wardens)]


def spawn_all(directory: str, numbers: range, at_once: int, argv: list[str]) -> None:
    journal = os.open(f"{directory}/journal.{numbers.start}", LOG | os.O_CLOEXEC, 0o600)
    shared = dict(os.environ)
    left = iter(numbers)
    running = 0
    while True:
        while running < at_once and (number := next(left, None)) is not None:
            running += 1
            os.write(journal, b'["claimed",[%d]]\n' % number)
            spawn(directory, number, argv, {**shared, **variables(number)})
        if not running:
            return
        pid, status = os.wait()
        running -= 1
        os.write(journal, b'["exited",%d,%d]\n' % (pid, status))
        assert status == 0, f"process {pid} has failed"


def main() -> None:
    directory, argv = sys.argv[1], sys.argv[4:]
    count, at_once = int(sys.argv[2]), int(sys.argv[3])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    begin = time.perf_counter()
    of_each = shares(at_once)
    pids = []
    for number, share in enumerate(of_each, start=1):
        pid = os.fork()
        if pid == 0:
            spawn_all(directory, range(number, count + 1, len(of_each)), share, argv)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    print(f"{time.perf_counter() - begin:.6f}", file=sys.stderr)


if __name__ == "__main__":
    main()
