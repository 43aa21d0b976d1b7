"""What the daemon sees of its children."""

import os
import signal
import subprocess

from torcd.executors.local.heritage import has_stopped


def test_that_a_child_was_stopped_is_told_once() -> None:
    with subprocess.Popen(["sleep", "1000"]) as child:
        assert not has_stopped(child.pid)
        child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        assert has_stopped(child.pid)
        assert not has_stopped(child.pid)
        child.kill()


def test_a_child_that_is_over_stands_still_no_more() -> None:
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not has_stopped(child.pid)
