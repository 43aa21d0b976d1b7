"""What a batch of records comes to: each row written once.

The last state of a job, a file or a workflow counts. An attempt that is added and ends in the same
batch is one row; one that is added and taken back is none, but its key is spent all the same.
Revisions are all kept. The result is what writing the records one by one, in their order, would
give.
"""

from collections.abc import Sequence
from typing import cast

from torcd.model import AttemptKey, FileKey, JobKey, WorkflowKey
from torcd.scheduler.commands import (
    AddAttempt,
    AddCommand,
    ClearValue,
    CreateWorkflow,
    EditWorkflow,
    Record,
    RemoveAttempt,
    RemoveWorkflow,
    SaveAttempt,
    SaveFile,
    SaveFrozenTime,
    SaveInitialAgain,
    SaveJob,
    SaveValue,
    SaveWorkflow,
)

ONLY_VALUES = frozenset({SaveValue})
"""The kinds of records when there are no others."""


class Batch:
    """Records, sorted by what they change. To be written in the order of the fields."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.created: list[CreateWorkflow] = []
        self.edited: list[EditWorkflow] = []
        self.removed: set[AttemptKey] = set()
        """Not only of attempts added here."""
        self.added: dict[AttemptKey, AddAttempt | AddCommand] = {}
        self.saved: dict[AttemptKey, SaveAttempt] = {}
        """What became of attempts, of those in `added` as well as of older ones."""
        self.frozen: dict[AttemptKey, int] = {}
        """How many microseconds attempts were frozen."""
        self.values: list[SaveValue | SaveInitialAgain | ClearValue] = []
        self.files: dict[FileKey, SaveFile] = {}
        self.jobs: dict[JobKey, SaveJob] = {}
        self.workflows: dict[WorkflowKey, SaveWorkflow] = {}
        self.counted: set[WorkflowKey] = set()
        """Those whose jobs are as they were counted in `workflows`."""
        self.deleted: list[RemoveWorkflow] = []
        self.next_key = 0
        self.next_attempt_key = 0
        """Both 0 when the counter has not moved."""
        self.has_more_than_values = set(map(type, records)) != ONLY_VALUES
        if not self.has_more_than_values:  # as when many jobs store at a time
            self.values += cast("Sequence[SaveValue]", records)
            return
        for record in records:
            # What there is many of at a time, by type: a look at a class takes longer.
            if type(record) is SaveValue:
                self.values.append(record)
            elif type(record) is SaveJob:
                self.jobs[record.job_key] = record
                if self.counted:
                    self.counted.discard(record.workflow_key)
            elif type(record) is SaveAttempt:
                self._save(record)
            elif type(record) is AddAttempt:
                self._add(record)
            else:
                self._sort(record)

    def _add(self, record: AddAttempt | AddCommand) -> None:
        key = record.attempt_key
        self.added[key] = record
        if key >= self.next_attempt_key:
            self.next_attempt_key = key + 1

    def _save(self, record: SaveAttempt) -> None:
        key = record.attempt_key
        if key not in self.removed or key in self.added:
            self.saved[key] = record

    def _sort(self, record: Record) -> None:
        """Of any kind: of those that there are many of as well, so that none can be forgotten."""
        match record:
            case SaveJob():
                self.jobs[record.job_key] = record
                self.counted.discard(record.workflow_key)
            case AddAttempt() | AddCommand():
                self._add(record)
            case SaveAttempt():
                self._save(record)
            case SaveFrozenTime():
                self.frozen[record.attempt_key] = record.microseconds
            case SaveValue() | SaveInitialAgain() | ClearValue():
                self.values.append(record)
            case SaveFile():
                self.files[record.file_key] = record
            case SaveWorkflow():
                self.workflows[record.workflow_key] = record
                if record.job_counts is not None:
                    self.counted.add(record.workflow_key)
            case RemoveWorkflow():
                self.deleted.append(record)
            case RemoveAttempt():
                self.saved.pop(record.attempt_key, None)
                if self.added.pop(record.attempt_key, None) is None:
                    self.removed.add(record.attempt_key)
            case CreateWorkflow():
                self.created.append(record)
                self.next_key = max(self.next_key, record.next_key)
            case EditWorkflow():
                self.edited.append(record)
                self.counted.discard(record.workflow.key)
                self.next_key = max(self.next_key, record.next_key)
