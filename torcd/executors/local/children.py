"""The daemon's children: wardens, and what dead wardens have left.

What a dead warden was running goes on. Because the daemon is a child subreaper and was its warden's
parent, the jobs become the daemon's children, *orphans*. The new warden watches them, but only
their parent can wait for them. So the daemon looks at each SIGCHLD: the status of an orphan that
has ended is told to the warden, and when the warden has it (it is in the journal then, and comes
back as a report), the orphan is reaped. Orphans of a warden that was not our child are not ours to
wait for; their warden learns from a pidfd how they end, if the kernel tells, and while there is no
warden we do (`witness`).

For the same reason an attempt that was claimed, and that is neither running nor in the journal as
ended, was certainly never spawned if its warden was our child: we inherited all that it spawned,
and have reaped none of it. This is what `heir` tells the next warden, which gives it back.
"""

from torcd.executors.local.heritage import Strays
from torcd.executors.local.supervisor import Supervisor


class Children:
    """Of wardens with these supervisors, whose number may change."""

    def __init__(self, supervisors: list[Supervisor], state_id: int) -> None:
        self._supervisors = supervisors
        self._strays = Strays(state_id)

    def look(self) -> None:
        """There was a SIGCHLD."""
        for one in self._supervisors:
            one.be_alive()
        self.look_at_orphans()

    def look_at_orphans(self) -> None:
        for one in self._supervisors:
            if one.is_reached:
                one.tell_of_orphans()
        if all(one.is_reached and not one.child_is_over for one in self._supervisors):
            # Otherwise some of our children may be attempts' leaders, which that one left just now.
            wardens = {one.child for one in self._supervisors if one.child is not None}
            orphans = {pid for one in self._supervisors for pid in one.heritage.pids()}
            self._strays.reap(wardens | orphans)
