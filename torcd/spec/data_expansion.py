"""The user_data of a workflow: each with its value, if the spec gives one, and its schema."""

import msgspec

from torcd import model, value
from torcd.errors import InvalidValue, TooLarge
from torcd.spec.problems import Finding, Path
from torcd.spec.schema import UserDataSpec
from torcd.spec.schemas import Schemas


class UserData:
    """`findings` gets what is wrong with values and schemas."""

    def __init__(self, schemas: Schemas, findings: list[Finding]) -> None:
        self._schemas = schemas
        self._findings = findings

    def of(self, key: model.DataKey, origin: int, item: UserDataSpec) -> model.UserData:
        at: Path = ("user_data", origin)
        data = self._data(item, (*at, "data"))
        schema, findings = self._schemas.read(item, data, at)
        self._findings += findings
        return model.UserData(
            key=key,
            name=item.name,
            data=data,
            is_ephemeral=item.is_ephemeral or False,
            available=item.available or "on_completion",
            schema=schema,
        )

    def _data(self, item: UserDataSpec, path: Path) -> msgspec.Raw | None:
        if isinstance(item.data, msgspec.UnsetType):
            return None
        try:
            text = value.parse(bytes(item.data), name=item.name).text
        except InvalidValue as error:
            self._findings.append(Finding(path, f"the data is refused: {error.facts['problem']}"))
            return None
        except TooLarge as error:
            self._findings.append(Finding(path, error.message))
            return None
        return None if text == b"null" else msgspec.Raw(text)
