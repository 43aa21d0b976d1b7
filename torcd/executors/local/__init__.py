"""The local executor: runs attempts on this machine, through a warden."""

from torcd.executors.local.executor import LocalExecutor

__all__ = ["LocalExecutor"]
