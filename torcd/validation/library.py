"""jsonschema-rs, and what it finds in torcd's words. Only `program` imports this.

No reference is ever fetched: what is not within the schema itself is a problem of the schema. Its
`format`s are annotations, as 2020-12 has it by default.
"""

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import jsonschema_rs as rs
from jsonschema_rs import ValidationErrorKind as Kind

from torcd.validation.program import MAX_BACKTRACKS, MAX_COMPILED, Subject

Problem = tuple[str, list[str | int], Subject]
"""message, path, what it is about"""

MAX_QUOTED_CHARACTERS = 60
"""Of what a schema says, in a message."""

MAX_NAMED = 3
"""Alternatives, or names of properties, in a message."""


class Compiled:
    """A schema that is ready for values, or why there is none."""

    def __init__(self, validator: rs.Validator | None, problem: Problem | None) -> None:
        self._validator = validator
        self.problem = problem

    def problem_of(self, value: object) -> Problem | None:
        assert self._validator is not None
        try:
            self._validator.validate(value)
        except rs.ValidationError as error:
            subject: Subject = "limits" if isinstance(error.kind, _GIVEN_UP) else "value"
            return expectation(error), list(error.instance_path), subject
        except ValueError as error:  # it is nested too deep
            return _shortened(str(error)), [], "limits"
        return None


_GIVEN_UP = (Kind.BacktrackLimitExceeded, Kind.RegexEngineFailure)


@lru_cache(MAX_COMPILED)
def compiled(schema: bytes) -> Compiled:
    """Never raises: what is no schema has a problem."""
    try:
        validator = rs.Draft202012Validator(
            schema.decode(),
            offline=True,
            validate_formats=False,
            pattern_options=rs.FancyRegexOptions(backtrack_limit=MAX_BACKTRACKS),
        )
    except rs.ValidationError as error:
        return Compiled(None, (_objection(error), list(error.instance_path), "schema"))
    except (rs.ReferencingError, ValueError) as error:
        message = str(error).removeprefix("Invalid string: ")
        return Compiled(None, (f"it cannot be read: {_shortened(message)}", [], "schema"))
    return Compiled(validator, None)


_ELSEWHERE = re.compile(r"Resource '(.*)' is not present in a registry")


def _objection(error: rs.ValidationError) -> str:
    """Why a schema is none."""
    match error.kind:
        case Kind.Referencing():
            message = error.message
            if elsewhere := _ELSEWHERE.match(message):
                message = f"{_quoted(elsewhere[1])} is not within the schema, and is not fetched"
            return f"a reference leads nowhere: {_shortened(message)}"
        case Kind.Format(format="regex"):
            return f"{_quoted(error.instance)} is no regex"
        case _:
            return expectation(error)


def expectation(error: rs.ValidationError) -> str:
    """What was expected, and the type or the size of what was there instead."""
    value = error.instance
    match error.kind:
        case Kind.Type(types=types):
            return f"expected {' or '.join(types)}, not {_type(value)}"
        case Kind.Enum(options=options):
            return f"expected one of {_quoted(options)}"
        case Kind.Constant(expected_value=expected):
            return f"expected {_quoted(expected)}"
        case Kind.Required(property=name):
            return f"{_quoted(name)} is missing"
        case (
            Kind.AdditionalProperties(unexpected=names)
            | Kind.UnevaluatedProperties(unexpected=names)
        ):
            return f"expected no property {_names(names)}"
        case Kind.AdditionalItems(limit=limit):
            return f"there are more than {limit} items"
        case Kind.UnevaluatedItems():
            return "there are more items than expected"
        case Kind.FalseSchema():
            return "expected nothing to be here"
        case Kind.Minimum(limit=limit):
            return f"expected at least {limit}"
        case Kind.Maximum(limit=limit):
            return f"expected at most {limit}"
        case Kind.ExclusiveMinimum(limit=limit):
            return f"expected more than {limit}"
        case Kind.ExclusiveMaximum(limit=limit):
            return f"expected less than {limit}"
        case Kind.MultipleOf(multiple_of=of):
            return f"expected a multiple of {of}"
        case Kind.MinLength(limit=limit):
            return _bound("at least", limit, "character", value)
        case Kind.MaxLength(limit=limit):
            return _bound("at most", limit, "character", value)
        case Kind.MinItems(limit=limit):
            return _bound("at least", limit, "item", value)
        case Kind.MaxItems(limit=limit):
            return _bound("at most", limit, "item", value)
        case Kind.MinProperties(limit=limit):
            return _bound("at least", limit, "property", value)
        case Kind.MaxProperties(limit=limit):
            return _bound("at most", limit, "property", value)
        case Kind.Pattern(pattern=pattern):
            return f"expected a text that matches {_quoted(pattern)}"
        case Kind.UniqueItems():
            return "expected no two equal items"
        case Kind.Contains():
            return "expected other items that fit `contains`, or another number of them"
        case Kind.PropertyNames(error=inner):
            return f"a property's name does not fit: {expectation(inner)}"
        case Kind.Not():
            return "expected what does not fit `not`"
        case Kind.AnyOf(context=context):
            return f"fits none of `anyOf`: {_alternatives(context)}"
        case Kind.OneOfNotValid(context=context):
            return f"fits none of `oneOf`: {_alternatives(context)}"
        case Kind.OneOfMultipleValid():
            return "fits more than one of `oneOf`"
        case Kind.BacktrackLimitExceeded() | Kind.RegexEngineFailure():
            return "a pattern of it takes too many steps"
        case _:
            return f"does not fit `{error.kind.name}`"


def _alternatives(context: Iterable[list[rs.ValidationError]]) -> str:
    said = dict.fromkeys(expectation(errors[0]) for errors in context if errors)
    return _shortened("; ".join(list(said)[:MAX_NAMED]) + ("; …" if len(said) > MAX_NAMED else ""))


def _type(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return "number"


_PLURALS = {"character": "characters", "item": "items", "property": "properties"}


def _bound(bound: str, limit: int, of: str, value: Any) -> str:
    return f"expected {bound} {limit} {of if limit == 1 else _PLURALS[of]}, not {len(value)}"


def _names(names: list[str]) -> str:
    named = ", ".join(map(_quoted, names[:MAX_NAMED]))
    return named if len(names) <= MAX_NAMED else f"{named} (and {len(names) - MAX_NAMED} more)"


def _quoted(said: object) -> str:
    return _shortened(json.dumps(said, ensure_ascii=False, default=str))


def _shortened(text: str) -> str:
    if len(text) <= 2 * MAX_QUOTED_CHARACTERS:
        return text
    return f"{text[: 2 * MAX_QUOTED_CHARACTERS]}…"
