"""A Python function that jobs call: its name when the workflow is built, itself when a job runs.

A job is another process, so a function is handed over by name: its module, the directory that the
module is found in, and the name within the module. What has no such name (a lambda, a function
within a function, one of the program itself) cannot be handed over and is refused.

A job finds its user_data by names that follow from its own: `input_JOB` is what the function is
called with, and `output_JOB` what it returns. `torcd.client.mapped` is what runs in the job.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from torcd.errors import InvalidValue, UnusableFunction

_RUNNER = "torcd.client.mapped"


class FunctionName(msgspec.Struct, frozen=True):
    """How another process finds a function."""

    directory: str
    """Absolute; where Python looks for the module first."""
    module: str
    name: str
    """Within the module; with a dot for a function of a class."""

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"


def input_name(job: str) -> str:
    """The user_data that holds what the function of a job is called with."""
    return f"input_{job}"


def output_name(job: str) -> str:
    """The user_data that takes what the function of a job returns."""
    return f"output_{job}"


def result_name(job: str) -> str:
    """The user_data that takes what a postprocess function returns."""
    return f"{job}_result"


def calling(python: str, name: FunctionName) -> tuple[str, ...]:
    """The command of a job that calls a function."""
    return python, "-m", _RUNNER, "call", name.directory, str(name)


def gathering(
    python: str, name: FunctionName, *, prefix: str, first: int, count: int
) -> tuple[str, ...]:
    """The command of a job that calls a function with the results of `count` jobs, which are named
    by a prefix and a number."""
    words = ("gather", name.directory, str(name), prefix, str(first), str(count))
    return python, "-m", _RUNNER, *words


def resolve(
    function: Callable[..., Any] | str, directory: str | None = None
) -> tuple[FunctionName, Callable[..., Any]]:
    """The name of a function, and the function that is found by it.

    A text is "module:function"; its module is imported, and is found in `directory` (default: the
    working directory) or where Python looks anyway. Raises UnusableFunction.
    """
    if not isinstance(function, str):
        return _name_of(function), function
    module, _, name = function.partition(":")
    if not (module and name):
        raise _unusable(function, 'write "module:function"')
    found = FunctionName(os.path.abspath(directory or ""), module, name)
    path = list(sys.path)
    try:
        return found, load(found)
    finally:
        sys.path[:] = path


def _name_of(function: Callable[..., Any]) -> FunctionName:
    name = getattr(function, "__qualname__", None)
    module = getattr(function, "__module__", None)
    if not isinstance(name, str) or not isinstance(module, str):
        raise _unusable(repr(function), "it has no name that a job could import it by")
    if name == "<lambda>":
        raise _unusable(f"{module}:{name}", "a lambda has no name: write a function with `def`")
    if "<locals>" in name:
        message = "it is made within another function: write it at the top of its module"
        raise _unusable(f"{module}:{name}", message)
    if module == "__main__":
        message = "a job cannot import the program itself: put it into a module of its own"
        raise _unusable(name, message)
    found = FunctionName(_directory(module), module, name)
    if _within(sys.modules.get(module), name) is not function:
        raise _unusable(str(found), "what its module has by that name is something else")
    return found


def _directory(module: str) -> str:
    """Where Python has found a module, or the package it is in."""
    file: str | None = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return os.getcwd()
    path = os.path.abspath(file)
    is_package = os.path.basename(path).startswith("__init__.")
    for _ in range(module.count(".") + 1 + is_package):
        path = os.path.dirname(path)
    return path


def load(name: FunctionName) -> Callable[..., Any]:
    """The function itself. Raises UnusableFunction; an error of its module goes through."""
    if name.directory not in sys.path:
        sys.path.insert(0, name.directory)
    try:
        module = importlib.import_module(name.module)
    except ModuleNotFoundError as e:
        # Not what the module itself cannot import, which its author wants to see.
        if e.name is None or not f"{name.module}.".startswith(f"{e.name}."):
            raise
        message = f"there is no module {e.name!r} in {name.directory} or on Python's path"
        raise _unusable(str(name), message) from None
    function = _within(module, name.name)
    if not callable(function):
        where = getattr(module, "__file__", None) or name.module
        raise _unusable(str(name), f"{where} has no function {name.name!r}")
    return function


def check_is_given(item: object, name: str) -> None:
    """See that it is something: null, as the data of a user_data, is no value. Raises
    InvalidValue."""
    if item is None:
        problem = "null is no value to start with; put it into a list or a mapping"
        raise InvalidValue(
            f"the value of {name!r} is refused: {problem}", name=name, problem=problem
        )


def check_takes_results(name: FunctionName, function: Callable[..., Any]) -> None:
    """See that it can be called with one argument. Raises UnusableFunction."""
    if takes_the_name_too(function):
        raise _unusable(str(name), "a postprocess function takes one argument, the list of results")


def takes_the_name_too(function: Callable[..., Any]) -> bool:
    """Whether it asks for the job's name before what it is called with: two arguments are
    required. Raises UnusableFunction for one that can be called with neither one nor two."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return False  # written in C, and silent about it
    for count in (1, 2):
        try:
            signature.bind(*range(count))
        except TypeError:
            continue
        return count == 2
    name = getattr(function, "__qualname__", repr(function))
    message = f"it takes {signature}; a job calls it with one argument, or with its name before it"
    raise _unusable(name, message)


def _within(module: object, name: str) -> object:
    found = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _unusable(function: str, problem: str) -> UnusableFunction:
    return UnusableFunction(f"{function} cannot be a job: {problem}", function=function)
