"""Which of a workflow's files are there, for its owner to see. Looks at the disk: for a worker
thread."""

import os
from collections.abc import Collection

from torcd.accounts import Account
from torcd.controller.contents import Glance, glance
from torcd.impersonation import acting_as
from torcd.model import FileKey, FileState, Workflow


def absent_inputs(workflow: Workflow, user: Account | None) -> frozenset[FileKey]:
    """Of the files that no job makes, those that are not there. `user`: whose it is, if not
    ours."""
    made = {key for job in workflow.jobs for key in job.output_files}
    return absent(workflow, {file.key for file in workflow.files} - made, user)


def seen_inputs(workflow: Workflow, user: Account | None) -> dict[FileKey, Glance | None]:
    """The files that no job makes as they look; None: it is not there."""
    made = {key for job in workflow.jobs for key in job.output_files}
    with acting_as(user):
        return {
            file.key: glance(file.path) if os.path.exists(file.path) else None
            for file in workflow.files
            if file.key not in made
        }


def absent_files(workflow: Workflow, user: Account | None) -> dict[FileKey, FileState | None]:
    """Of all its files, those that are not there: None."""
    return dict.fromkeys(absent(workflow, {file.key for file in workflow.files}, user))


def absent(
    workflow: Workflow, keys: Collection[FileKey], user: Account | None
) -> frozenset[FileKey]:
    """Of some files, those that are not there."""
    with acting_as(user):
        return frozenset(
            file.key
            for file in workflow.files
            if file.key in keys and not os.path.exists(file.path)
        )
