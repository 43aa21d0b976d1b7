"""What jobs read and make, as digests: how it is known that nothing has changed.

Each thing that a job waits for has an *identity*: a file and a user_data the SHA-256 of what is in
them (of a value, of its canonical form), a job its *product*: the identities of what it declares to
make, or, if it declares nothing, the key of its last attempt that completed, since nobody can tell
whether another one would do the same. What is not there has an identity of its own.

The digest of a job's inputs is a sum over (kind, name, identity), modulo 2^128. So it depends on
no order, things go by their names and not by their keys, and what a group adds is worked out once
for all that wait for it: the cost follows the declarations, not the pairs. There are two sums, one
over what no job makes (*given*) and one over what jobs make (*made*): only the first can be
compared while jobs that come before may yet run. If both together are what they were, so is all
that a job reads, though somebody else may make it than before, or nobody any more.

The digest of a job's definition is over its command as it is run, over the names and paths of
what it makes, and over the element that it was made for: of the value that this is in it sees
nothing else. What it reads is in the other digests, by name. Its environment, its directory, its
priority, its flags and what it asks for are in none.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from torcd.model import DataKey, FileKey, FileState
from torcd.scheduler.nodes import JobGate

if TYPE_CHECKING:
    from torcd.model import Job
    from torcd.scheduler.job_states import Trace
    from torcd.scheduler.nodes import GateNode, JobNode
    from torcd.scheduler.state import WorkflowNode

SIZE = 16
"""Bytes of a digest. Nobody gains by finding two that are equal: he might as well not run the
job."""

_MODULUS = 1 << (8 * SIZE)

_encode = msgspec.json.Encoder().encode


class Inputs(msgspec.Struct, frozen=True, gc=False):
    """Of things that are waited for together."""

    given: int
    made: int
    newest: int
    """The attempts before that key did not see all of it as it is now."""


NO_INPUTS = Inputs(0, 0, 0)


class Digests:
    """Of one workflow. `files` and `values` (their SHA-256) are what is to be taken in place of
    what it knows of them; given `files`, it is to be used at once, and thrown away."""

    __slots__ = ("_command", "_definition", "_files", "_gates", "_groups", "_node", "_values")

    def __init__(
        self,
        node: "WorkflowNode",
        files: Mapping[FileKey, FileState | None] | None = None,
        values: Mapping[DataKey, str] | None = None,
    ) -> None:
        self._node = node
        self._files: Mapping[FileKey, FileState | None] = files or {}
        self._values: Mapping[DataKey, str] = values or {}
        self._groups: dict[int, Inputs] = {}
        """Of groups, by key, as long as nothing in them changes."""
        self._gates: dict[int, Inputs] | None = {} if files is not None else None
        """Of all others, by subject, where nothing changes."""
        self._command: str | tuple[str, ...] | None = None
        """Of the last job that makes nothing, and its definition."""
        self._definition = 0

    def inputs(self, job: "JobNode") -> Inputs:
        """Of all that it waits for."""
        return self._added(job.awaits) if job.awaits else NO_INPUTS

    def definition(self, job: "Job") -> int:
        """As `definition`, to be kept: jobs that run the same one after the other share it."""
        if job.output_files or job.output_user_data or job.element is not None:
            return definition(self._node, job)
        if job.command != self._command:
            self._command, self._definition = job.command, definition(self._node, job)
        return self._definition

    def file(self, key: FileKey) -> FileState | None:
        if key in self._files:
            return self._files[key]
        return self._node.file_states.get(key)

    def changed(self, subject: int) -> None:
        """A file, a value or a product has another identity."""
        if not self._groups:
            return
        for key in (subject, *(maker.job.key for maker in self._node.makers.get(subject, ()))):
            gate = self._node.gates.get(key)
            for group in () if gate is None else gate.groups:
                self._groups.pop(group.subject, None)

    def _added(self, gates: "tuple[GateNode, ...]") -> Inputs:
        """Of all of these together."""
        if len(gates) == 1:
            return self._inputs(gates[0])
        given = made = newest = 0
        for gate in gates:
            part = self._inputs(gate)
            given += part.given
            made += part.made
            if part.newest > newest:
                newest = part.newest
        return Inputs(given % _MODULUS, made % _MODULUS, newest)

    def _inputs(self, gate: "GateNode") -> Inputs:
        if gate.members:
            found = self._groups.get(gate.subject)
            if found is None:
                found = self._groups[gate.subject] = self._added(gate.members)
            return found
        if self._gates is None:
            return self._one_input(gate)
        found = self._gates.get(gate.subject)
        if found is None:
            found = self._gates[gate.subject] = self._one_input(gate)
        return found

    def _one_input(self, gate: "GateNode") -> Inputs:
        node = self._node
        newest = gate.made_at
        if isinstance(gate, JobGate):
            producer = gate.maker
            number = _number("job", producer.job.name, self._product(producer))
            # Somebody else may have stored what it makes since.
            for key in producer.job.output_user_data:
                newest = max(newest, node.data[key].changed_at)
            return Inputs(0, number, newest)
        if gate.kind == "user_data":
            number = self._value(DataKey(gate.subject))
            newest = node.data[DataKey(gate.subject)].changed_at
        else:
            number = self._file(FileKey(gate.subject))
        return Inputs(number, 0, newest) if gate.is_input else Inputs(0, number, newest)

    def _file(self, key: FileKey) -> int:
        state = self.file(key)
        return _number("file", self._node.files[key].name, "" if state is None else state.sha256)

    def _value(self, key: DataKey) -> int:
        data = self._node.data[key]
        return _number("user_data", data.data.name, self._values.get(key) or data.sha256 or "")

    def _product(self, node: "JobNode") -> str:
        job = node.job
        if not job.output_files and not job.output_user_data:
            return "" if node.trace is None else str(node.trace.attempt_key)
        total = sum(map(self._file, job.output_files)) + sum(map(self._value, job.output_user_data))
        return str(total % _MODULUS)


def definition(node: "WorkflowNode", job: "Job") -> int:
    """Of what a job runs and makes."""
    files: list[tuple[str, str]] = []
    if job.output_files:
        files = sorted((node.files[k].name, node.files[k].path) for k in job.output_files)
    data: list[str] = []
    if job.output_user_data:
        data = sorted(node.data[k].data.name for k in job.output_user_data)
    if job.element is not None:
        data.append(f"\0{job.element.sha256}")  # which no name is
    return _digest(_encode((job.command, files, data)))


def is_as_read(trace: "Trace", now: Inputs) -> bool:
    """Whether all that a job would read is what it has read before."""
    if trace.given is None or trace.made is None:
        return False
    return (trace.given + trace.made - now.given - now.made) % _MODULUS == 0


def _number(kind: str, name: str, identity: str) -> int:
    return _digest(f"{kind}\0{name}\0{identity}".encode("utf-8", "surrogatepass"))


def _digest(text: bytes) -> int:
    return int.from_bytes(blake2b(text, digest_size=SIZE).digest(), "big")
