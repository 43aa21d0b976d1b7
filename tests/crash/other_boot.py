"""A daemon for tests that finds another boot id, as after a restart of the machine."""

import sys

from torcd import __main__, daemon
from torcd.executors.local import launching

BOOT_ID = "00000000-0000-0000-0000-000000000000"

if __name__ == "__main__":
    daemon.read_boot_id = launching.read_boot_id = lambda: BOOT_ID  # type: ignore[attr-defined]
    sys.exit(__main__.main())
