"""Which of a workflow's files are there. Looks at the disk: for a worker thread."""

import os
from collections.abc import Collection

from torcd.model import FileKey, Workflow


def absent_inputs(workflow: Workflow) -> frozenset[FileKey]:
    """Of the files that no job makes, those that are not there."""
    made = {key for job in workflow.jobs for key in job.output_files}
    return absent(workflow, {file.key for file in workflow.files} - made)


def absent(workflow: Workflow, keys: Collection[FileKey]) -> frozenset[FileKey]:
    """Of some files, those that are not there."""
    return frozenset(
        file.key for file in workflow.files if file.key in keys and not os.path.exists(file.path)
    )
