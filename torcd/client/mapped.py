"""Runs a Python function in a job: the command of the jobs that `torcd.spec.map_function` makes.

    python -m torcd.client.mapped call DIRECTORY MODULE:FUNCTION
    python -m torcd.client.mapped gather DIRECTORY MODULE:FUNCTION PREFIX FIRST COUNT

`call` calls the function with the job's input, `gather` with the list of the results of COUNT jobs,
whose names are PREFIX and a number from FIRST on. What it returns is stored. When it raises, the
traceback goes to standard error, and the exit code is 1.
"""

import sys
import traceback
from collections.abc import Sequence
from typing import Any

from torcd import functions
from torcd.client.job import Job, current_job
from torcd.errors import InvalidValue, NoValue, TorcError, UnusableFunction
from torcd.functions import FunctionName

_USAGE_EXIT = 2


def main(words: Sequence[str]) -> int:
    try:
        match words:
            case ["call", directory, text]:
                name = _name(directory, text)
                return _call(current_job(), name)
            case ["gather", directory, text, prefix, first, count]:
                name = _name(directory, text)
                numbers = range(int(first), int(first) + int(count))
                return _gather(current_job(), name, [f"{prefix}{n}" for n in numbers])
            case _:
                print(__doc__, file=sys.stderr)
                return _USAGE_EXIT
    except TorcError as e:
        return _fail(str(e))


def _name(directory: str, text: str) -> FunctionName:
    module, _, name = text.partition(":")
    return FunctionName(directory, module, name)


def _call(job: Job, name: FunctionName) -> int:
    given = _input(job, functions.input_name(job.name))
    return _run(job, name, given, functions.output_name(job.name), may_take_name=True)


def _gather(job: Job, name: FunctionName, jobs: Sequence[str]) -> int:
    results = [_input(job, functions.output_name(other)) for other in jobs]
    return _run(job, name, results, functions.result_name(job.name), may_take_name=False)


def _input(job: Job, name: str) -> Any:
    try:
        return job.inputs[name]
    except KeyError:
        raise NoValue(f"{name!r} has no value, or is no input of this job", name=name) from None


def _run(job: Job, name: FunctionName, given: Any, output: str, *, may_take_name: bool) -> int:
    try:
        function = functions.load(name)
        before = (job.name,) if may_take_name and functions.takes_the_name_too(function) else ()
        result = function(*before, given)
    except UnusableFunction as e:
        return _fail(str(e))
    except Exception as e:  # noqa: BLE001 - whatever it is, it is the function's, and told
        # Without this frame: the author looks for the own ones.
        traceback.print_exception(e.with_traceback(e.__traceback__ and e.__traceback__.tb_next))
        return 1
    try:
        job.store(output, result)
    except InvalidValue as e:
        return _fail(f"{name} returned what is not JSON: {e.facts['problem']}")
    return 0


def _fail(message: str) -> int:
    print(f"torcd: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
