"""What values and files hold, as far as jobs wait for it or have seen it."""

from collections.abc import Iterable

from torcd.model import AttemptKey, DataKey, FileKey, FileState, Timestamp
from torcd.scheduler.commands import ClearValue, Command, SaveFile
from torcd.scheduler.memory import Memory
from torcd.scheduler.nodes import GateNode, JobNode
from torcd.scheduler.spreading import Spreading
from torcd.scheduler.state import DataNode, WorkflowNode
from torcd.value import Value


def spreads(node: WorkflowNode, data: DataNode) -> bool:
    """Whether a turn has more to do about what a running job stores there than to keep it: a gate
    may open, or something else of the workflow be due, as after any event. Where this is False, a
    turn would come to the same, and take longer."""
    gate = data.gate
    return bool(
        (gate is not None and (gate.is_input or gate.opens_early is not None))
        or node.ready.heap
        or node.leaders
        or node.asking
        or node.folds
        or node.actions is not None
    )


def stored(
    memory: Memory,
    node: WorkflowNode,
    data: DataNode,
    value: Value,
    producer: JobNode,
    attempt_key: AttemptKey,
    at: Timestamp,
) -> list[Command]:
    """All that comes of a value that does not spread."""
    turn = Storing(memory, node, at)
    turn.keep(data, value, producer, attempt_key)
    return turn.commands


class Storing(Spreading):
    """The part of a `Turn` that is about values and files."""

    def store(
        self,
        data_key: DataKey,
        value: Value,
        producer: JobNode | None,
        attempt_key: AttemptKey | None,
    ) -> None:
        """A new revision; opens what waits for the value where that is the rule."""
        data = self.node.data[data_key]
        self.keep(data, value, producer, attempt_key)
        gate = data.gate
        if gate is None:
            return
        if gate.is_input:
            self.open_input(gate)
        elif producer is not None and gate.opens_early is not None:
            if producer.job.key not in gate.opens_early:
                gate.opens_early.add(producer.job.key)
                self._lower(gate)
            self._spread()

    def keep(
        self,
        data: DataNode,
        value: Value,
        producer: JobNode | None,
        attempt_key: AttemptKey | None,
    ) -> None:
        """A new revision, of which nothing follows."""
        data.revision += 1
        data.is_stored_in_run = True
        if producer is not None and producer.job.key not in data.storers:
            data.storers = (*data.storers, producer.job.key)
        if data.sha256 != value.sha256:
            data.sha256 = value.sha256
            data.changed_at = self.memory.next_attempt_key
            self.node.digests.changed(data.data.key)
        self.save_value(data, value, attempt_key)
        self.tell_value(data.data.key, data.revision, producer)

    def open_input(self, gate: GateNode) -> None:
        """An input that nobody makes has appeared."""
        if gate.missing:
            self._lower(gate)

    def looked_at(self, files: Iterable[tuple[FileKey, FileState | None]]) -> None:
        """This is what is known of these files now."""
        states = self.node.file_states
        for key, state in files:
            before = states.get(key)
            if state == before:
                continue
            if state is None:
                del states[key]
            else:
                states[key] = state
            if state is None or before is None or state.sha256 != before.sha256:
                self.node.digests.changed(key)
            self.add(SaveFile(workflow_key=self.node.key, file_key=key, state=state))

    def clear(self, data_key: DataKey) -> None:
        """It has no value any more; or, if the spec gave it one, that one again."""
        data = self.node.data[data_key]
        if data.sha256 == data.initial_sha256:
            return
        self.node.digests.changed(data_key)
        if data.initial_sha256 is None:
            data.sha256 = None
            self.add(ClearValue(workflow_key=self.node.key, data_key=data_key))
            self.tell_cleared(data_key)
            return
        data.revision += 1
        data.sha256 = data.initial_sha256
        data.changed_at = self.memory.next_attempt_key
        self.save_initial_again(data)
        self.tell_value(data_key, data.revision, None)
