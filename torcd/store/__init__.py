"""The database: the only SQL there is."""

from torcd.store.backup import back_up
from torcd.store.checking import Checked, check
from torcd.store.restoring import NO_BOOT, Restored, restore
from torcd.store.schema import Migrated
from torcd.store.store import Store, migrate

__all__ = [
    "NO_BOOT",
    "Checked",
    "Migrated",
    "Restored",
    "Store",
    "back_up",
    "check",
    "migrate",
    "restore",
]
