"""Jobs that call a Python function, each with parameters of its own."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from torcd import functions, json_text
from torcd.spec.schema import JobSpec, UserDataSpec


class Mapped(msgspec.Struct, frozen=True):
    """What to put into a WorkflowSpec."""

    jobs: tuple[JobSpec, ...]
    """In the order of the parameters; the one that postprocesses comes last."""
    user_data: tuple[UserDataSpec, ...]
    results: tuple[str, ...]
    """The names of the user_data that take what the function returns, in the same order."""


def to_json(value: Any) -> msgspec.Raw:
    """A Python value for the `data` or `schema` of a `UserDataSpec`.

    Raises InvalidValue for what JSON cannot say: NaN, infinities, objects of unknown classes.
    """
    return json_text.to_json(value, name="data")


def map_function(
    function: Callable[..., Any] | str,
    parameters: Iterable[Any],
    *,
    postprocess: Callable[[list[Any]], Any] | str | None = None,
    name: str | None = None,
    directory: str | None = None,
    resource_requirements: str | None = None,
    failure_handler: str | None = None,
    depends_on: Sequence[str] | None = None,
    priority: int | None = None,
    env: Mapping[str, str] | None = None,
    python: str = sys.executable,
) -> Mapped:
    """A job for each item of `parameters`, in which `function` is called with it.

    The jobs are named `NAME_1`, `NAME_2` and so on; the default of `name` is the function's own.
    Each finds its item, which may be anything that JSON can say but null, as the user_data
    `input_NAME_1`, and stores what the function returns as `output_NAME_1`. A function that
    requires two arguments gets the job's name first. The job fails when the function raises, and
    when it returns what is not JSON.

    `postprocess` is called with the list of all results, in the order of the parameters, by the job
    `NAME_postprocess`, which stores what it returns as `NAME_postprocess_result`.

    A function is a function at the top of a module, or a text "module:function" with the
    `directory` of the module (default: the working directory). `python` is the interpreter that
    runs it; it needs torcd. The other arguments are fields of all the jobs; but the one that
    postprocesses waits for the others and not for `depends_on`.

    Raises UnusableFunction for a function that a job could not import, and InvalidValue.
    """
    called, itself = functions.resolve(function, directory)
    functions.takes_the_name_too(itself)
    prefix = f"{name or called.name.rpartition('.')[2]}_"
    jobs: list[JobSpec] = []
    user_data: list[UserDataSpec] = []
    results: list[str] = []
    like = JobSpec(
        command=functions.calling(python, called),
        depends_on=tuple(depends_on) if depends_on else None,
        resource_requirements=resource_requirements,
        failure_handler=failure_handler,
        priority=priority,
        env=dict(env) if env else None,
    )
    for n, item in enumerate(parameters, 1):
        job = f"{prefix}{n}"
        given = functions.input_name(job)
        stored = functions.output_name(job)
        functions.check_is_given(item, given)
        user_data.append(UserDataSpec(name=given, data=json_text.to_json(item, name=given)))
        user_data.append(UserDataSpec(name=stored))
        results.append(stored)
        jobs.append(replace(like, name=job, input_user_data=(given,), output_user_data=(stored,)))
    if postprocess is not None:
        last, itself = functions.resolve(postprocess, directory)
        functions.check_takes_results(last, itself)
        job = f"{prefix}postprocess"
        stored = functions.result_name(job)
        user_data.append(UserDataSpec(name=stored))
        jobs.append(
            replace(
                like,
                name=job,
                command=functions.gathering(
                    python, last, prefix=prefix, first=1, count=len(results)
                ),
                depends_on=None,
                input_user_data=tuple(results),
                output_user_data=(stored,),
            )
        )
    return Mapped(tuple(jobs), tuple(user_data), tuple(results))
