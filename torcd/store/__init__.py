"""The database: the only SQL there is."""

from torcd.store.store import Store, migrate

__all__ = ["Store", "migrate"]
