"""Who becomes the parent of processes whose own has died."""

import ctypes

_PR_SET_CHILD_SUBREAPER = 36


def inherit_orphans(yes: bool) -> None:
    """Make the processes that tests leave our children, or those of who else is there."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0)
