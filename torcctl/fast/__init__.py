"""The quick path: the commands that scripts run over and over, with next to nothing imported.

Starting Python is most of what such a command costs, and click and msgspec cost several times that.
So the modules here know the usual ways to write `data get`, `data put`, `status` and `submit`,
speak the wire by themselves (of socket only its C core, of json only its), and leave everything
else to the full command line: help, mistakes, a file of settings, completion, and where nobody
answers, or the answer is a refusal or none that they know to the last field. What they do is the
same as there; for values it is the only implementation.
"""

from __future__ import annotations

import os

from torcd import locations

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing and collections cost time, too
    from collections.abc import Mapping, Sequence


def perform(words: Sequence[str], environ: Mapping[str, str]) -> int | None:
    """Do what the words of a command line say and return the exit code; None: that takes more."""
    if "_TORCCTL_COMPLETE" in environ or os.access(locations.client_config(), os.F_OK):
        return None
    if "data" in words or "user-data" in words:
        from torcctl.fast import values

        call = values.parse(words)
        return None if call is None else values.perform(call, environ)
    if "status" in words:
        from torcctl.fast import status

        return status.perform(words, environ)
    if "submit" in words:
        from torcctl.fast import submit

        return submit.perform(words, environ)
    return None
