"""The program that says with which resource limits PAM would have a user work.

    limits_program.py USER

writes a JSON list of number, soft and hard value of those that differ from its own, and exits with
0; or what is wrong, and exits with 1. PAM changes the process that asks, so this is a
process of its own, which ends right after. Only root can be told.
"""

import ctypes
import json
import resource
import sys

SERVICE = "torcd"
"""The name of the file in /etc/pam.d."""
LIMITS = 16
"""RLIM_NLIMITS."""

_SUCCESS = 0
_CONVERSATION_ERROR = 19

_Answer = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
)


class _Conversation(ctypes.Structure):
    _fields_ = (("answer", _Answer), ("data", ctypes.c_void_p))


def limits_of(user: str) -> list[tuple[int, int, int]]:
    """Raises OSError."""
    pam = ctypes.CDLL("libpam.so.0")
    pam.pam_strerror.restype = ctypes.c_char_p
    before = _now()
    handle = ctypes.c_void_p()
    # Nobody is there to be asked for anything.
    answer = _Answer(lambda *_: _CONVERSATION_ERROR)
    conversation = _Conversation(answer, None)

    def check(code: int) -> None:
        if code != _SUCCESS:
            raise OSError(code, pam.pam_strerror(handle, code).decode(errors="replace"))

    check(
        pam.pam_start(
            SERVICE.encode(),
            user.encode(errors="surrogateescape"),
            ctypes.byref(conversation),
            ctypes.byref(handle),
        )
    )
    check(pam.pam_open_session(handle, 0))
    after = _now()
    pam.pam_close_session(handle, 0)
    pam.pam_end(handle, _SUCCESS)
    return [
        (number, *limit)
        for number, (limit, old) in enumerate(zip(after, before, strict=True))
        if limit != old
    ]


def _now() -> list[tuple[int, int]]:
    return [resource.getrlimit(number) for number in range(LIMITS)]


if __name__ == "__main__":
    try:
        sys.stdout.write(json.dumps(limits_of(sys.argv[1])))
    except OSError as error:
        sys.stdout.write(error.strerror or str(error))
        sys.exit(1)
