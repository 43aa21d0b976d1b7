"""How a process ended that is not our child.

Its parent reaps it, whoever that is, and the parent alone is told by `wait`. But a pidfd opened
while it lived keeps the status (Linux 6.15 and newer): once the process has been reaped the pidfd
hangs up, and PIDFD_GET_INFO tells. Older kernels tell nobody, but the daemon, if it is the parent.
"""

import fcntl
import os
import select
import struct

_PIDFD_GET_INFO = 0xC040FF0B
"""_IOWR(0xFF, 11, struct pidfd_info), in its first size of 64 bytes."""
_INFO = struct.Struct("=QQ11Ii")
"""mask, cgroup, pid, tgid, ppid, eight ids, exit_code (as of wait)."""
_INFO_EXIT = 1 << 3


def _ask(pidfd: int) -> tuple[int, int]:
    """(mask, exit_code)."""
    buffer = bytearray(_INFO.size)
    _INFO.pack_into(buffer, 0, _INFO_EXIT, *[0] * 13)
    fcntl.ioctl(pidfd, _PIDFD_GET_INFO, buffer)
    fields = _INFO.unpack(buffer)
    return fields[0], fields[-1]


def kernel_keeps_status() -> bool:
    """Whether a pidfd says how a reaped process ended: try it with a child."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    pidfd = os.pidfd_open(pid)
    try:
        os.waitpid(pid, 0)
        return bool(_ask(pidfd)[0] & _INFO_EXIT)
    except OSError:
        return False
    finally:
        os.close(pidfd)


def exit_code(pidfd: int) -> int | None:
    """The return code of a process that was reaped; None where the kernel does not tell."""
    try:
        mask, status = _ask(pidfd)
    except OSError:
        return None
    return os.waitstatus_to_exitcode(status) if mask & _INFO_EXIT else None


def end_of(keeps_status: bool) -> int:
    """The epoll mask that waits for it: reaped (always reported), or at least ended."""
    return 0 if keeps_status else select.EPOLLIN
