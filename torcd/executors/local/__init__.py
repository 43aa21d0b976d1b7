"""The local executor: runs attempts on this machine, through wardens."""

from torcd.executors.local.executor import MOST_WARDENS, LocalExecutor

__all__ = ["MOST_WARDENS", "LocalExecutor"]
