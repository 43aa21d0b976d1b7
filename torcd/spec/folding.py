"""Jobs that say `for_each` as the gates they are in a workflow.

Such a job waits for its value, and for what nobody makes of what its elements read: so that is
missed when the workflow is submitted. What else they wait for they wait for themselves; so they do
for what is one for each of them, since nobody can tell yet what that is.
"""

import msgspec

from torcd import model
from torcd.spec import elements


def with_gates(workflow: model.Workflow) -> model.Workflow:
    """A workflow that has been expanded, and of which it is known that it has no cycles."""
    made = {key for job in workflow.jobs for key in job.output_files}
    made |= {file.key for file in workflow.files if elements.is_in(file.name)}
    stored = {key for job in workflow.jobs for key in job.output_user_data}
    stored |= {data.key for data in workflow.user_data if elements.is_in(data.name)}
    jobs = [
        job if job.for_each is None else _gate(job, job.for_each, made, stored)
        for job in workflow.jobs
    ]
    return msgspec.structs.replace(workflow, jobs=tuple(jobs))


def _gate(
    job: model.Job,
    for_each: model.ForEach,
    made: set[model.FileKey],
    stored: set[model.DataKey],
) -> model.Job:
    reads = [k for k in job.input_user_data if k == for_each.data or k not in stored]
    return msgspec.structs.replace(
        job,
        awaits=(),
        depends_on=(),
        input_files=tuple(key for key in job.input_files if key not in made),
        input_user_data=tuple(reads),
    )
