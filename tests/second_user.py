"""A second user of this machine, for tests that are run by root: `nobody`."""

import os
import pwd
from collections.abc import Callable

import pytest

NOBODY = pwd.getpwnam("nobody").pw_uid

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


def as_nobody(function: Callable[[], bytes]) -> bytes:
    """What a function returns when they call it, in a process of theirs; the name of its error, if
    it has one. (They could not start this Python, which is below root's home.)"""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        answer = b"not even begun"
        try:
            group = pwd.getpwuid(NOBODY).pw_gid
            os.setgroups([])
            os.setresgid(group, group, group)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            answer = function()
        except BaseException as error:  # noqa: BLE001 - it is told
            answer = type(error).__name__.encode()
        finally:
            os.write(writer, answer)
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answers:
        answer = answers.read()
    os.waitpid(child, 0)
    return answer
