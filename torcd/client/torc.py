"""torc's own calls, so that scripts written for torc need another import line and nothing else.

    from torcd.client import make_api, torc_settings
    api = make_api(torc_settings.database_url)

torc kept workflows in a database, and its scripts changed records there. Here a record is a view
of a declared user_data: storing one makes its `data` the newest value, and nothing else of it can
be changed. Inside a job the calls speak as the job, and may touch what it has declared; elsewhere,
and about other workflows, as the person who runs the program.
"""

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from torcd import errors, locations
from torcd.client.blocking import Client
from torcd.client.conversation import value_of
from torcd.client.requests import Relation
from torcd.json_text import to_json
from torcd.model import JobStatus
from torcd.protocol import user_data as u

_RequestTimeout = float | tuple[float, float] | None
"""What every call of torc's takes as `_request_timeout`. Here a call takes as long as the disk
does, and one to a daemon that is gone ends by itself: it is accepted and not needed."""


class UserDataModel(msgspec.Struct, kw_only=True):
    """A user_data as torc's scripts know it. `data` is None without a value."""

    name: str | None = None
    data: Any = None
    is_ephemeral: bool = False
    key: str | None = msgspec.field(name="_key", default=None)
    id: str | None = msgspec.field(name="_id", default=None)
    rev: str | None = msgspec.field(name="_rev", default=None)

    def to_dict(self) -> dict[str, Any]:
        """With torc's names of the fields, and without those that are None."""
        pairs = zip(self.__struct_encode_fields__, msgspec.structs.astuple(self), strict=True)
        return {name: value for name, value in pairs if value is not None}


class UserDataList(msgspec.Struct, kw_only=True):
    """A page of records."""

    items: list[UserDataModel]
    skip: int = 0
    max_limit: int = 100_000
    count: int
    total_count: int
    has_more: bool


class MissingUserData(msgspec.Struct):
    """The keys of user_data."""

    user_data: list[str]


class PostedWorkflow(msgspec.Struct, kw_only=True):
    """A workflow as torc's scripts know it."""

    name: str
    key: str = msgspec.field(name="_key")
    id: str = msgspec.field(name="_id")


class TorcSettings:
    """Stands for torc's `~/.torc_settings.toml`."""

    @property
    def database_url(self) -> str:
        """Where the daemon listens: a socket, where torc had a URL."""
        return locations.client_socket()


torc_settings = TorcSettings()


def make_api(database_url: str) -> "Api":
    """torc's way to its database, here to the daemon at a socket."""
    if "://" in database_url:
        raise errors.ConfigError(
            f"{database_url} is a URL, and torcd listens on a socket: write "
            "make_api(torc_settings.database_url)"
        )
    return Api(database_url)


class Api:
    """torc's calls about user_data. All raise the classes of `torcd.errors`."""

    def __init__(self, socket: str) -> None:
        self._client = Client(socket)
        self._token = os.environ.get("TORC_TOKEN") or None
        self._own_workflow = os.environ.get("TORC_WORKFLOW_KEY")

    def list_job_user_data_stores(
        self, workflow: str, key: str, _request_timeout: _RequestTimeout = None
    ) -> UserDataList:
        """What the job of that key has declared as output."""
        return self._related("stores", workflow, key)

    def list_job_user_data_consumes(
        self, workflow: str, key: str, _request_timeout: _RequestTimeout = None
    ) -> UserDataList:
        """What the job of that key has declared as input."""
        return self._related("consumes", workflow, key)

    def add_user_data(
        self,
        workflow: str,
        key: str | UserDataModel | None = None,
        body: UserDataModel | None = None,
        _request_timeout: _RequestTimeout = None,
    ) -> UserDataModel:
        """Store the data of a record: `(workflow, key, body)` as torc's guide has it, or
        `(workflow, body)` as torc's API had it, of a record with a key or a name."""
        if isinstance(key, UserDataModel):
            key, body = None, key
        if body is None:
            raise TypeError("add_user_data: the record is missing")
        return self._store(workflow, key, body)

    def modify_user_data(
        self,
        workflow: str,
        key: str,
        body: UserDataModel,
        _request_timeout: _RequestTimeout = None,
    ) -> UserDataModel:
        """Store the data of a record as the value of that key."""
        return self._store(workflow, key, body)

    def add_job_user_data(
        self,
        workflow: str,
        key: str,
        body: UserDataModel,
        _request_timeout: _RequestTimeout = None,
    ) -> UserDataModel:
        """Store the data of a record, by its key or its name. `key` is the job's, which must have
        declared it as output."""
        declared = self._related("stores", workflow, key).items
        for record in declared:
            if body.key == record.key or (body.key is None and body.name == record.name):
                return self._store(workflow, record.key, body)
        name = body.name or body.key or ""
        raise errors.NotDeclared(
            f"the job {key} has not declared {name!r} as output: add it to its output_user_data",
            name=name,
        )

    def get_user_data(
        self, workflow: str, key: str, _request_timeout: _RequestTimeout = None
    ) -> UserDataModel:
        """The record of that key."""
        token, workflow_key = self._who(workflow)
        try:
            request = u.Fetch(key=key, token=token, workflow_key=workflow_key)
            return _model(self._client.call(request).record)
        except errors.NoValue:
            for record in self._records(workflow):
                if record.key == key:
                    return _model(record)
            raise

    def list_user_data(
        self,
        workflow: str,
        skip: int | None = None,
        limit: int | None = None,
        sort_by: str | None = None,
        reverse_sort: bool | None = None,
        key: str | None = None,
        name: str | None = None,
        is_ephemeral: bool | None = None,
        _request_timeout: _RequestTimeout = None,
    ) -> UserDataList:
        """The records of the workflow, or inside a job those that it has declared."""
        items = [
            _model(record)
            for record in self._records(workflow)
            if (key is None or record.key == key)
            and (name is None or record.name == name)
            and (is_ephemeral is None or record.is_ephemeral == is_ephemeral)
        ]
        if sort_by is not None:
            field = sort_by.removeprefix("_")
            items.sort(key=lambda item: str(getattr(item, field)))
        if reverse_sort:
            items.reverse()
        return _page(items, int(skip or 0), limit)

    def list_missing_user_data(
        self, key: str, _request_timeout: _RequestTimeout = None
    ) -> MissingUserData:
        """The keys of what jobs of that workflow consume and nobody is still to produce, and that
        has no value all the same."""
        jobs = self._client.jobs(workflow_key=key)
        consumed = {name for job in jobs for name in job.input_user_data}
        awaited = {
            name
            for job in jobs
            if job.status is not JobStatus.COMPLETED
            for name in job.output_user_data
        }
        return MissingUserData(
            [
                record.key
                for record in self._client.list(workflow_key=key)
                if record.name in consumed - awaited and record.data is msgspec.UNSET
            ]
        )

    def post_workflow_specifications(
        self, body: Mapping[str, Any], _request_timeout: _RequestTimeout = None
    ) -> PostedWorkflow:
        """Submit the workflow that a `WorkflowBuilder` has built, or any other as plain data.

        It starts at once. Raises InvalidSpec with all its `problems`."""
        submitted = self._client.submit(body)
        return PostedWorkflow(name=submitted.name, key=submitted.key, id=submitted.key)

    def _related(self, relation: Relation, workflow: str, job_key: str) -> UserDataList:
        token, workflow_key = self._who(workflow)
        request = u.List(relation=relation, job_key=job_key, token=token, workflow_key=workflow_key)
        return _page([_model(record) for record in self._client.call(request).items], 0, None)

    def _records(self, workflow: str) -> list[u.Record]:
        token, workflow_key = self._who(workflow)
        return self._client.call(u.List(token=token, workflow_key=workflow_key)).items

    def _store(self, workflow: str, key: str | None, body: UserDataModel) -> UserDataModel:
        token, workflow_key = self._who(workflow)
        key = key or body.key
        request = u.Store(
            data=to_json(body.data, name=body.name or key or ""),
            name=None if key else body.name,
            key=key,
            token=token,
            workflow_key=workflow_key,
        )
        return _model(self._client.call(request).record)

    def _who(self, workflow: str) -> tuple[str | None, str | None]:
        """The token and the workflow key to ask with."""
        if self._token is not None and workflow == self._own_workflow:
            return self._token, None
        return None, workflow


def _model(record: u.Record) -> UserDataModel:
    return UserDataModel(
        name=record.name,
        data=None if record.data is msgspec.UNSET else value_of(record),
        is_ephemeral=record.is_ephemeral,
        key=record.key,
        id=record.key,
        rev=str(record.revision),
    )


def _page(items: list[UserDataModel], skip: int, limit: int | None) -> UserDataList:
    page = items[skip:] if limit is None else items[skip : skip + limit]
    return UserDataList(
        items=page,
        skip=skip,
        count=len(page),
        total_count=len(items),
        has_more=skip + len(page) < len(items),
    )
