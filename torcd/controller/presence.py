"""Which of a workflow's files are there. Looks at the disk: for a worker thread."""

import os
from collections.abc import Collection

from torcd.controller.contents import Glance, glance
from torcd.model import FileKey, Workflow


def absent_inputs(workflow: Workflow) -> frozenset[FileKey]:
    """Of the files that no job makes, those that are not there."""
    made = {key for job in workflow.jobs for key in job.output_files}
    return absent(workflow, {file.key for file in workflow.files} - made)


def seen_inputs(workflow: Workflow) -> dict[FileKey, Glance | None]:
    """The files that no job makes as they look; None: it is not there."""
    made = {key for job in workflow.jobs for key in job.output_files}
    return {
        file.key: glance(file.path) if os.path.exists(file.path) else None
        for file in workflow.files
        if file.key not in made
    }


def absent(workflow: Workflow, keys: Collection[FileKey]) -> frozenset[FileKey]:
    """Of some files, those that are not there."""
    return frozenset(
        file.key for file in workflow.files if file.key in keys and not os.path.exists(file.path)
    )
