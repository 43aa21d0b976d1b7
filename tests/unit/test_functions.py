"""Functions that jobs call: what has a name to import it by, and what has not."""

import functools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from torcd import functions
from torcd.errors import UnusableFunction
from torcd.functions import FunctionName


def one(parameters: Any) -> Any: ...


def two(job: str, parameters: Any) -> Any: ...


def none() -> Any: ...


class Model:
    @staticmethod
    def run(parameters: Any) -> Any: ...

    def step(self) -> Any: ...


@pytest.fixture
def simulation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module `torcd_simulation` and a package `torcd_models` in a directory of their own."""
    (tmp_path / "torcd_simulation.py").write_text("limit = 3\ndef run(p): return p\n")
    (tmp_path / "torcd_broken.py").write_text("import torcd_no_such_module\n")
    package = tmp_path / "torcd_models" / "deep"
    package.mkdir(parents=True)
    (tmp_path / "torcd_models" / "__init__.py").write_text("def top(p): return p\n")
    (package / "__init__.py").write_text("")
    (package / "wind.py").write_text("def run(p): return p\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("torcd_")]:
        del sys.modules[name]


def test_a_function_is_named_by_its_module_and_where_that_is_found(simulation: Path) -> None:
    assert str(functions.resolve(json.dumps)[0]) == "json:dumps"
    sys.path.insert(0, str(simulation))
    import torcd_models  # type: ignore[import-not-found]
    from torcd_models.deep.wind import run  # type: ignore[import-not-found]

    for function, module in ((run, "torcd_models.deep.wind"), (torcd_models.top, "torcd_models")):
        name, itself = functions.resolve(function)
        assert name == FunctionName(str(simulation), module, function.__name__)
        assert functions.load(name) is itself is function


def test_a_function_of_a_class_has_a_name_too() -> None:
    name, _ = functions.resolve(Model.run)
    assert name.name == "Model.run"
    assert functions.load(name) is Model.run


def test_a_text_names_a_function_in_a_directory(simulation: Path) -> None:
    before = list(sys.path)
    name, itself = functions.resolve("torcd_simulation:run", str(simulation))
    assert name == FunctionName(str(simulation), "torcd_simulation", "run")
    assert itself(5) == 5
    assert sys.path == before


def test_the_directory_of_a_text_is_the_working_one_by_default(
    simulation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(simulation)
    assert functions.resolve("torcd_models.deep.wind:run")[0].directory == str(simulation)
    assert functions.resolve("torcd_simulation:run", "sub/..")[0].directory == str(simulation)


def within() -> Any:
    def inner(parameters: Any) -> Any: ...

    return inner


of_the_program = functools.wraps(one)(lambda p: p)
of_the_program.__module__ = "__main__"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda p: p, "a lambda has no name"),
        (within(), "it is made within another function"),
        (of_the_program, "one cannot be a job: a job cannot import the program itself"),
        (functools.partial(one, 1), "it has no name"),
        (Model().step, "what its module has by that name is something else"),
        (functools.wraps(one)(lambda p: p), "what its module has by that name is something else"),
        ("torcd_simulation", 'write "module:function"'),
        (":run", 'write "module:function"'),
        ("torcd_absent:run", "there is no module 'torcd_absent' in /"),
        ("torcd_models.absent:run", "there is no module 'torcd_models.absent' in /"),
        ("torcd_simulation:absent", "torcd_simulation.py has no function 'absent'"),
        ("torcd_simulation:limit", "torcd_simulation.py has no function 'limit'"),
    ],
)
def test_what_a_job_could_not_import_is_refused(simulation: Path, function: Any, said: str) -> None:
    with pytest.raises(UnusableFunction) as refused:
        functions.resolve(function, str(simulation))
    assert said in refused.value.message


def test_what_is_wrong_within_a_module_goes_through(simulation: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="torcd_no_such_module"):
        functions.resolve("torcd_broken:run", str(simulation))


def test_a_function_of_two_arguments_takes_the_name_of_the_job_too() -> None:
    assert functions.takes_the_name_too(two)
    assert not functions.takes_the_name_too(one)
    assert not functions.takes_the_name_too(print)
    assert not functions.takes_the_name_too(lambda p, more=1: p)
    with pytest.raises(UnusableFunction, match=r"it takes \(\)"):
        functions.takes_the_name_too(none)
