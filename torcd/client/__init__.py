"""The client library: what job scripts and other programs import.

In a job: `job = current_job()`, then `job.store(name, value)` and `job.fetch(name)`. Elsewhere:
`Client` and, for async programs, `AsyncClient`. Scripts written for torc find `make_api`,
`torc_settings` and `WorkflowBuilder` here. What can go wrong is in `torcd.errors`.
"""

from typing import TYPE_CHECKING, Any

from torcd.client.blocking import Client
from torcd.client.job import Job, current_job
from torcd.client.torc import UserDataModel, make_api, torc_settings

if TYPE_CHECKING:
    from torcd.client.asynchronous import AsyncClient
    from torcd.client.torc_builder import WorkflowBuilder, map_function_to_jobs

__all__ = [
    "AsyncClient",
    "Client",
    "Job",
    "UserDataModel",
    "WorkflowBuilder",
    "current_job",
    "make_api",
    "map_function_to_jobs",
    "torc_settings",
]


def __getattr__(name: str) -> Any:
    # Loading asyncio takes longer than most job scripts' business with the daemon.
    if name == "AsyncClient":
        from torcd.client.asynchronous import AsyncClient

        return AsyncClient
    if name in ("WorkflowBuilder", "map_function_to_jobs"):
        from torcd.client import torc_builder

        return getattr(torc_builder, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
