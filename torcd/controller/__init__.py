"""The one writer: decide, commit, act, announce.

`loop` is that, and `core` has the parts around it. `launching` turns a decision to start into an
order for the executor and `preparing` writes what it is to read; `harvest` looks at what an attempt
left behind; `inputs` watches for files; `shelf` brings workflows back into memory; `tokens` says
which job is asking; `chronicle` writes the log.
"""

from torcd.controller.core import Controller
from torcd.controller.settings import Settings

__all__ = ["Controller", "Settings"]
