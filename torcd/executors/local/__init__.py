"""The local executor: runs attempts on this machine, through a warden."""

from torcd.executors.local.executor import MOST_WARDENS, LocalExecutor

__all__ = ["MOST_WARDENS", "LocalExecutor"]
