"""JSON Schemas of user_data in a spec, and whether the values that the spec gives fit them."""

from types import TracebackType

import msgspec

from torcd.spec.problems import Finding, Path
from torcd.spec.schema import UserDataSpec
from torcd.validation import Checker, Problem

TOTAL_CPU_SECONDS = 60
"""For all of a spec. A million copies of one item are checked once; a hundred thousand schemas of
which each is another take a fifth of it."""

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Schemas:
    """Of one spec."""

    def __init__(self) -> None:
        self._checker = Checker(TOTAL_CPU_SECONDS)
        self._last: tuple[tuple[bytes, bytes | None], Problem | None] | None = None
        self._is_given_up = False

    def __enter__(self) -> "Schemas":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._checker.close()

    def read(
        self, item: UserDataSpec, data: msgspec.Raw | None, at: Path
    ) -> tuple[msgspec.Raw | None, list[Finding]]:
        """The schema of an item if there is one, and what is wrong with it or with the data."""
        if isinstance(item.schema, msgspec.UnsetType) or bytes(item.schema) == b"null":
            return None, []
        schema = msgspec.Raw(bytes(item.schema))
        problem = self._check(bytes(schema), None if data is None else bytes(data))
        if problem is not None:
            return None, [_finding(problem, at)]
        return schema, _of_dialect(schema, (*at, "schema"))

    def _check(self, schema: bytes, data: bytes | None) -> Problem | None:
        if self._last is not None and self._last[0] == (schema, data):
            return self._last[1]
        if self._is_given_up:
            return Problem("not tried, since another check takes too long", is_about="limits")
        problem = self._checker.check(schema, data)
        self._is_given_up = problem is not None and problem.is_about == "limits"
        self._last = (schema, data), problem
        return problem


def _finding(problem: Problem, at: Path) -> Finding:
    match problem.is_about:
        case "schema":
            message = f"this is no JSON Schema: {problem.message}"
            return Finding((*at, "schema", *problem.path), message)
        case "value":
            message = f"the data does not fit its schema: {problem.message}"
            return Finding((*at, "data", *problem.path), message)
        case "limits":
            return Finding((*at, "schema"), f"the schema cannot be checked: {problem.message}")


class _Dialect(msgspec.Struct, frozen=True):
    name: str | None = msgspec.field(name="$schema", default=None)


def _of_dialect(schema: msgspec.Raw, path: Path) -> list[Finding]:
    if bytes(schema) in (b"true", b"false"):
        return []
    name = msgspec.json.decode(schema, type=_Dialect).name
    if name is None or name.rstrip("#") == _DIALECT:
        return []
    message = "the schema is read as one of JSON Schema 2020-12, whatever its `$schema` says"
    return [Finding((*path, "$schema"), message, f'write "{_DIALECT}"', "warning")]
