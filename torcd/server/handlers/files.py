"""The files of a workflow, and what is on disk of them."""

import os

from anyio import to_thread

from torcd.impersonation import acting_as
from torcd.model import File, Timestamp
from torcd.protocol import manager as m
from torcd.protocol.times import rfc3339
from torcd.server.calls import Call
from torcd.server.context import Context


async def list_files(context: Context, parameters: m.ListFiles, call: Call) -> m.FilesReply:
    key = await context.workflow_key(parameters.workflow_key, call.peer)
    async with context.controller.workflow(key) as node:
        producers: dict[int, list[str]] = {}
        consumers: dict[int, list[str]] = {}
        for job in node.workflow.jobs:
            for file_key in job.output_files:
                producers.setdefault(file_key, []).append(job.name)
            for file_key in node.workflow.input_files(job):
                consumers.setdefault(file_key, []).append(job.name)
        files = node.workflow.files
        user = context.accounts.acts_as(node.workflow.owner)

    def look() -> list[m.FileInfo]:
        with acting_as(user):
            return [
                _info(file, producers.get(file.key, []), consumers.get(file.key, []))
                for file in files
            ]

    return m.FilesReply(await to_thread.run_sync(look))


def _info(file: File, producers: list[str], consumers: list[str]) -> m.FileInfo:
    try:
        facts = os.stat(file.path)
    except OSError:
        facts = None
    return m.FileInfo(
        key=str(file.key),
        name=file.name,
        path=file.path,
        exists=facts is not None,
        size_bytes=None if facts is None else facts.st_size,
        modified_at=None if facts is None else _modified_at(facts.st_mtime_ns),
        producers=producers,
        consumers=consumers,
    )


def _modified_at(nanoseconds: int) -> str | None:
    """None for a time that no calendar has; a file can be given any."""
    try:
        return rfc3339(Timestamp(nanoseconds // 1000))
    except OverflowError:
        return None
