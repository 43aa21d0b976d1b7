"""What the controller needs to know of the configuration."""

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    socket: str
    state_dir: str
    shell: str
    max_value_bytes: int
    termination_grace_seconds: float
    retention_days: float = 0.0
    """Of workflows that are over; 0: they are kept."""
    keep_runs: int = 0
    """Of each workflow; 0: all."""
    max_log_bytes: int = 0
    """Of a log of a job; 0: it may grow as it likes."""
    boot_id: str
