"""torc's `WorkflowBuilder`: a workflow put together by calls, then posted as a whole.

    builder = WorkflowBuilder()
    builder.map_function_to_jobs("simulation", "run", params, postprocess_func="postprocess")
    workflow = make_api(torc_settings.database_url).post_workflow_specifications(builder.build())

In torc a posted workflow was started by hand; here it starts at once. Programs that are written
anew have `torcd.spec`.
"""

import sys
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from torcd import functions

Record = SimpleNamespace
"""A job, a file and so on: its fields may be changed until the workflow is built."""

_POSTPROCESS = "postprocess"


class WorkflowBuilder:
    """Collects the parts of a workflow. The fields are those of a workflow file."""

    def __init__(self) -> None:
        self._sections: dict[str, list[Record]] = {}
        self._config: dict[str, Any] = {}

    def add_job(self, **fields: Any) -> Record:
        return self._add("jobs", fields)

    def add_file(self, **fields: Any) -> Record:
        return self._add("files", fields)

    def add_user_data(self, **fields: Any) -> Record:
        return self._add("user_data", fields)

    def add_resource_requirements(self, **fields: Any) -> Record:
        return self._add("resource_requirements", fields)

    def add_slurm_scheduler(self, **fields: Any) -> Record:
        """Kept; of no effect on one machine."""
        return self._add("slurm_schedulers", fields)

    def configure_resource_monitoring(self, **fields: Any) -> None:
        """Kept; of no effect on one machine."""
        self._config["compute_node_resource_stats"] = fields

    def map_function_to_jobs(
        self,
        module: str,
        func: str,
        params: Iterable[Any],
        postprocess_func: str | None = None,
        module_directory: str | None = None,
        resource_requirements: str | None = None,
        scheduler: str | None = None,
        start_index: int = 1,
        name_prefix: str = "",
        blocked_by: list[str] | None = None,
    ) -> list[Record]:
        """Add a job for each item of `params`, in which `func` is called with it, or, if it
        requires two arguments, with the job's name and the item.

        The jobs are named by the prefix and a number. Their user_data are `input_JOB`, the item,
        and `output_JOB`, what `func` returns. The job `postprocess` calls `postprocess_func` with
        the list of all results, and stores what it returns as `postprocess_result`. The module is
        found in `module_directory` (default: the working directory) or where Python looks anyway.

        Raises UnusableFunction for a function that is not there.
        """
        name, itself = functions.resolve(f"{module}:{func}", module_directory)
        functions.takes_the_name_too(itself)
        like = {"resource_requirements": resource_requirements, "scheduler": scheduler}
        jobs = []
        for n, item in enumerate(params, start_index):
            job = f"{name_prefix}{n}"
            functions.check_is_given(item, functions.input_name(job))
            given = self.add_user_data(name=functions.input_name(job), data=item)
            result = self.add_user_data(name=functions.output_name(job))
            jobs.append(
                self.add_job(
                    name=job,
                    command=functions.calling(sys.executable, name),
                    input_user_data=[given.name],
                    output_user_data=[result.name],
                    blocked_by=blocked_by,
                    **like,
                )
            )
        if postprocess_func is not None:
            jobs.append(
                self._postprocess(
                    f"{module}:{postprocess_func}",
                    module_directory,
                    prefix=name_prefix,
                    first=start_index,
                    count=len(jobs),
                    like=like,
                )
            )
        return jobs

    def build(self, **fields: Any) -> dict[str, Any]:
        """The workflow as plain data, with `fields` of its own: name, description, user."""
        sections = {
            section: [_fields(vars(record)) for record in records]
            for section, records in self._sections.items()
        }
        return _fields({**fields, **sections, "config": self._config or None})

    def _postprocess(
        self,
        function: str,
        directory: str | None,
        *,
        prefix: str,
        first: int,
        count: int,
        like: dict[str, Any],
    ) -> Record:
        name, itself = functions.resolve(function, directory)
        functions.check_takes_results(name, itself)
        result = self.add_user_data(name=functions.result_name(_POSTPROCESS))
        return self.add_job(
            name=_POSTPROCESS,
            command=functions.gathering(
                sys.executable, name, prefix=prefix, first=first, count=count
            ),
            input_user_data=[
                functions.output_name(f"{prefix}{n}") for n in range(first, first + count)
            ],
            output_user_data=[result.name],
            **like,
        )

    def _add(self, section: str, fields: dict[str, Any]) -> Record:
        record = Record(**fields)
        self._sections.setdefault(section, []).append(record)
        return record


def map_function_to_jobs(
    api: object, workflow: WorkflowBuilder, *arguments: Any, **options: Any
) -> list[Record]:
    """torc's function of that name. A workflow is submitted as a whole here: `workflow`, a key in
    torc, is the builder that the jobs are put into, and `api` is not asked for anything. The other
    arguments are those of the builder's method."""
    if not isinstance(workflow, WorkflowBuilder):
        raise TypeError(
            "map_function_to_jobs: pass a WorkflowBuilder, and post what it builds with "
            "api.post_workflow_specifications; or, in a job that runs, add that to its workflow: "
            "current_job().add_jobs(builder.build())"
        )
    return workflow.map_function_to_jobs(*arguments, **options)


def _fields(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
