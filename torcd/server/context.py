"""What handlers work with, and how they find what a client names."""

import fnmatch
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal

import msgspec

from torcd import errors
from torcd.accounts import Accounts, Peer
from torcd.controller import Controller
from torcd.controller.shelf import unknown
from torcd.model import DataKey, JobKey, Owner, Timestamp, WorkflowKey
from torcd.protocol import manager as m
from torcd.protocol import user_data as u
from torcd.scheduler.state import DataNode, WorkflowNode
from torcd.server.sharing import Shared

MAX_PATTERN_CHARACTERS = 1_000
"""A pattern may take longer to prepare than in proportion to its length."""

MAX_COMPARISONS = 4_000_000
"""Names compared with patterns for one call; nobody else is served meanwhile, for some seconds at
most."""

StopMode = Literal["leave", "terminate", "wait"]


class Context(msgspec.Struct, frozen=True):
    controller: Controller
    socket: str
    state_dir: str
    started_at: Timestamp
    version: str
    default_parallel_jobs: Callable[[], int]
    denied_variables: Callable[[], tuple[str, ...]]
    """Patterns of variables that jobs do not inherit."""
    warden_pid: Callable[[], int | None]
    cgroups: Callable[[], str | None]
    stop: Callable[[StopMode], None]
    reload: Callable[[], Awaitable[m.Reloaded]]
    """Read the configuration again. Raises ConfigError."""
    log: Any
    keep: Callable[[WorkflowNode, DataNode, u.RecordReply], None] = lambda *_: None
    """Takes the answer to a Fetch of the newest revision, for whoever asks next."""
    described: Shared[m.WorkflowReply] = msgspec.field(default_factory=Shared)
    """For the many who follow a workflow."""

    async def workflow_key(self, text: str | None, peer: Peer) -> WorkflowKey:
        """The workflow that is meant: without a key the newest of the peer's own. Raises
        UnknownWorkflow, also for one that is not the peer's to see."""
        if text is None:
            await self.controller.settled()
            own = peer.uid if self.accounts.is_shared else None
            newest = await self.controller.store.newest_workflow(own)
            if newest is None:
                raise errors.UnknownWorkflow(
                    "there is no workflow yet; submit one with: torcctl submit SPEC"
                )
            return newest
        if not is_key(text):
            raise errors.UnknownWorkflow(
                f"{text[:100]!r} is no workflow key: keys are numbers, see torcctl ls",
                workflow_key=text[:100],
            )
        key = WorkflowKey(int(text))
        if not await self.may_see(peer, key):
            raise unknown(key)
        return key

    @property
    def accounts(self) -> Accounts:
        return self.controller.accounts

    async def may_see(self, peer: Peer, key: WorkflowKey) -> bool:
        """Whether a workflow is the peer's to see and to change. Of one that is not there, nobody
        knows whose it was."""
        if peer.is_admin:
            return True
        node = self.controller.scheduler.workflows.get(key)
        if node is not None:
            return self.is_own(peer, node.workflow.owner)
        return await self.controller.store.owner_uid(key) == peer.uid

    def is_own(self, peer: Peer, owner: Owner | None) -> bool:
        """The same of one whose owner is known."""
        return self.accounts.is_own(peer, owner)


def is_key(text: str) -> bool:
    """Whether a text could be a key: decimal digits that fit the counter."""
    return text.isascii() and text.isdecimal() and len(text) <= 18


def find_jobs(node: WorkflowNode, wanted: Iterable[str]) -> list[JobKey]:
    """Jobs by name, else key, else pattern, without repetition. Raises UnknownJob."""
    found: dict[JobKey, None] = {}
    comparisons = 0
    for text in wanted:
        key = job_of(node, text)
        if key is not None:
            found.update(dict.fromkeys(_with_elements(node, key)))
            continue
        comparisons += len(node.job_keys)
        if comparisons > MAX_COMPARISONS:
            raise errors.InvalidParameter(
                f"too many patterns for a workflow of {len(node.jobs)} jobs: give fewer, or names",
                parameter="jobs",
            )
        found.update(dict.fromkeys(_matching(node, text)))
    return list(found)


def _with_elements(node: WorkflowNode, key: JobKey) -> list[JobKey]:
    """What the name of a job stands for: if it says `for_each`, those of its elements."""
    job = node.jobs[key]
    if not job.job.is_unfolded:
        return [key]
    found = [] if job.is_hidden else [key]
    for other in node.jobs.values():
        if other.job.element is not None and other.job.element.of == key:
            found.append(other.job.key)
    return found


def job_of(node: WorkflowNode, text: str) -> JobKey | None:
    """The job of a name, else of a key."""
    by_name = node.job_keys.get(text)
    if by_name is not None:
        return by_name
    if is_key(text) and JobKey(int(text)) in node.jobs:
        return JobKey(int(text))
    return None


def _matching(node: WorkflowNode, pattern: str) -> list[JobKey]:
    is_pattern = any(character in pattern for character in "*?[")
    if is_pattern and len(pattern) <= MAX_PATTERN_CHARACTERS:
        # Not fnmatch itself, which keeps tens of thousands of patterns for later.
        fits = re.compile(fnmatch.translate(pattern)).match
        matching = [
            key
            for name, key in node.job_keys.items()
            if fits(name) and not node.jobs[key].is_hidden
        ]
        if matching:
            return matching
    raise errors.UnknownJob(
        f"workflow {node.key} has no job {pattern[:100]!r}; see torcctl jobs", job=pattern[:100]
    )


def find_data(node: WorkflowNode, name: str | None, key: str | None) -> DataKey:
    """A user_data by key, or by name, else key, given as `name`. Raises NotFound."""
    if name is None and key is None:
        raise errors.InvalidParameter("say which user_data: name or key", parameter="name")
    if key is not None:
        if is_key(key) and DataKey(int(key)) in node.data:
            return DataKey(int(key))
        raise errors.NotFound(f"workflow {node.key} has no user_data of key {key[:100]}", name=key)
    assert name is not None
    found = node.data_keys.get(name)
    if found is not None:
        return found
    if is_key(name) and DataKey(int(name)) in node.data:
        return DataKey(int(name))
    raise errors.NotFound(
        f"workflow {node.key} has no user_data {name[:100]!r}; see torcctl data list",
        name=name[:100],
    )
