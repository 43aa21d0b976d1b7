"""torcd: a job runner daemon for one workstation."""

__version__ = "0.1.0"
