"""The interface descriptions: legal Varlink, true to the structs, and changed only on purpose."""

import ast
import inspect
import typing
from pathlib import Path

import msgspec
import pytest
import varlink

from torcd import errors
from torcd.protocol import interface, registry
from torcd.protocol.registry import INTERFACES, Interface

GOLDEN = Path(__file__).parent / "golden"
PACKAGE = Path(inspect.getfile(errors)).parent

every_interface = pytest.mark.parametrize("described", INTERFACES, ids=lambda i: i.name)


@every_interface
def test_the_description_is_the_one_that_was_published(described: Interface) -> None:
    # Interfaces only grow. When this fails because something was added, write the new text with
    # `python -m tests.wire.test_interface_descriptions`, and read what it changed.
    golden = (GOLDEN / f"{described.name}.varlink").read_text()
    assert interface.describe(described) == golden


@every_interface
def test_varlinks_own_parser_reads_it_and_finds_everything(described: Interface) -> None:
    parsed = varlink.Interface(interface.describe(described))
    assert parsed.name == described.name
    names = [method.name for method in described.methods]
    names += [cls.code.rpartition(".")[2] for cls in registry.errors_of(described)]
    assert set(names) <= set(parsed.members)
    for method in described.methods:
        member = parsed.get_method(method.name)
        assert set(member.in_type.fields) == _names(method.parameters)
        assert set(member.out_type.fields) == _names(method.reply)


@every_interface
def test_every_method_is_described_in_words(described: Interface) -> None:
    for method in described.methods:
        assert method.parameters.__doc__, method.name


@every_interface
def test_the_registry_and_the_requests_agree_about_the_replies(described: Interface) -> None:
    for method in described.methods:
        (base,) = method.parameters.__orig_bases__  # type: ignore[attr-defined]
        (reply,) = typing.get_args(base)
        name = reply.__forward_arg__ if isinstance(reply, typing.ForwardRef) else reply.__name__
        assert name == method.reply.__name__
        assert inspect.getmodule(method.reply) is inspect.getmodule(method.parameters)


def test_what_changes_something_is_not_repeated_by_clients_except_what_may_be_said_twice() -> None:
    unsafe = {m.name for i in INTERFACES for m in i.methods if not m.safe_to_repeat}
    assert unsafe >= {"Submit", "Cancel", "Pause", "Resume", "Enable", "Disable", "Stop"}
    reads = {"Get", "List", "Follow", "Fetch", "History", "Watch", "Explain", "Join"}
    for name in {m.name for i in INTERFACES for m in i.methods} - unsafe - {"Store", "AddJobs"}:
        assert any(name.startswith(word) for word in reads), name


def test_facts_are_read_from_the_docstrings() -> None:
    assert interface.facts_of(errors.TooLarge) == ["name", "size_bytes", "limit_bytes"]
    assert interface.facts_of(errors.InvalidSpec) == ["problems", "more"]
    assert interface.facts_of(errors.Lagged) == ["next"]
    assert interface.facts_of(errors.Denied) == []


def test_a_field_that_may_be_absent_or_null_is_optional() -> None:
    text = interface.describe(registry.USER_DATA)
    assert "  data: ?object,\n  revision: int,\n  sha256: ?string," in text
    assert "  relation: ?(consumes, stores)," in text


def test_a_struct_with_a_name_that_varlink_has_not_is_any_json() -> None:
    assert "type Joined (from: object, to: object)" in interface.describe(registry.MANAGER)


def _names(struct: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(struct)}


def _raised() -> list[tuple[str, type[errors.TorcError], set[str]]]:
    """Where errors that cross the wire are made in the package, and with which facts."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
            cls = getattr(errors, name, None)
            if isinstance(cls, type) and issubclass(cls, errors.TorcError) and "." in cls.code:
                facts = {keyword.arg for keyword in node.keywords if keyword.arg is not None}
                found.append((f"{path.relative_to(PACKAGE)}:{node.lineno}", cls, facts))
    return found


def test_errors_are_raised_with_the_facts_that_they_promise_and_no_others() -> None:
    raised = _raised()
    assert len(raised) > 5
    wrong = [
        f"{where}: {cls.__name__} does not promise {sorted(facts - promised)}"
        for where, cls, facts in raised
        if not facts <= (promised := set(interface.facts_of(cls)))
    ]
    assert wrong == []


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for one in INTERFACES:
        (GOLDEN / f"{one.name}.varlink").write_text(interface.describe(one))
