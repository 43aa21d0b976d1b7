"""What values and files hold, as far as jobs wait for it or have seen it."""

from collections.abc import Iterable

from torcd.model import AttemptKey, DataKey, FileKey, FileState, Happening, Timestamp
from torcd.scheduler.commands import ClearValue, Command, SaveFile, SaveValue
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
    if gate is not None and (gate.is_input or gate.opens_early is not None):
        return True
    if node.ready.heap or node.leaders or node.asking or node.folds:
        return True
    return node.actions is not None


def keep(
    memory: Memory,
    node: WorkflowNode,
    data: DataNode,
    value: Value,
    producer: JobNode | None,
    attempt_key: AttemptKey | None,
    at: Timestamp,
) -> list[Command]:
    """A new revision. What is to be written down and told of it."""
    key, run_id = data.data.key, node.run_id
    data.revision = revision = data.revision + 1
    data.is_stored_in_run = True
    job_key = attempt_id = None
    if producer is not None:
        job_key, attempt_id = producer.job.key, producer.attempt_id
        if job_key not in data.storers:
            data.storers = (*data.storers, job_key)
    if data.sha256 != value.sha256:
        data.sha256 = value.sha256
        data.changed_at = memory.next_attempt_key
        node.digests.changed(key)
    number = memory.next_happening
    memory.next_happening = number + 1
    # Both made here and not by a turn: jobs may store thousands in a second.
    return [
        SaveValue(
            workflow_key=node.key,
            data_key=key,
            revision=revision,
            value=value,
            run_id=run_id,
            attempt_key=attempt_key,
            changed_at=data.changed_at,
            at=at,
        ),
        Happening(
            number=number,
            at=at,
            kind="value_stored",
            workflow_key=node.key,
            job_key=job_key,
            data_key=key,
            run_id=run_id,
            attempt_id=attempt_id,
            revision=revision,
        ),
    ]


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
        self.commands += keep(self.memory, self.node, data, value, producer, attempt_key, self.at)
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
        self.tell_value(data_key, data.revision)
