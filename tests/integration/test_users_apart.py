"""Users of one daemon see and change what is theirs, and nothing else."""

import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.second_user import name_of, needs_root
from tests.users_world import World, shared_daemon
from torcd.client import Client
from torcd.protocol import manager as m
from torcd.protocol import user_data as u
from torcd.protocol.registry import INTERFACES
from torcd.protocol.request import Request

pytestmark = needs_root

SPEC = {
    "name": "secret",
    "user_data": [{"name": "v", "data": "mine"}, {"name": "o"}],
    "jobs": [
        {
            "name": "j",
            "command": "echo $TORC_TOKEN > token.new; mv token.new token; exec sleep 1000",
            "input_user_data": ["v"],
            "output_user_data": ["o"],
        }
    ],
}

UNKNOWN = "io.torcd.Manager.UnknownWorkflow"
DENIED = "io.torcd.UserData.Denied"


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    with shared_daemon() as world:
        yield world


@pytest.fixture(scope="module")
def with_admins() -> Iterator[World]:
    with shared_daemon(with_admins=True) as world:
        # An admin would be in both groups; nobody here is.
        world.daemon.socket.chmod(0o666)
        yield world


@pytest.fixture
def key(shared: World) -> Iterator[str]:
    """A workflow of alice's whose job runs."""
    key = running(shared)
    yield key
    shared.alice.asks(m.Delete(workflow_key=key, force=True))


def running(world: World) -> str:
    key = world.alice.submits(SPEC)
    with world.daemon.client() as client:
        for reply in client.stream(m.FollowWorkflow(workflow_key=key)):
            if reply.workflow.jobs["running"]:
                break
    return key


ABOUT_A_WORKFLOW = [
    method.parameters
    for interface in INTERFACES
    for method in interface.methods
    if "workflow_key" in method.parameters.__struct_fields__
]
GIVEN = {
    "jobs": ["j"],
    "job": "j",
    "name": "v",
    "data": msgspec.Raw(b"1"),
    "workflow": msgspec.Raw(b'{"jobs": [{"name": "j", "command": "id -u"}]}'),
    "directory": "/",
}


def about(parameters: type[msgspec.Struct], key: str) -> Any:
    given = dict(GIVEN, workflow_key=key)
    if parameters is m.Join:
        given["name"] = "job-results"
    fields = msgspec.structs.fields(parameters)
    wanted = {field.name for field in fields if field.required} | {"workflow_key"}
    if parameters in (u.Fetch, u.Store, u.History, u.Watch):
        wanted.add("name")
    return parameters(**{name: given[name] for name in wanted})


def test_all_that_is_about_a_workflow_is_in_the_table() -> None:
    assert len(ABOUT_A_WORKFLOW) > 20


def first(client: Client, parameters: Request[Any]) -> object:
    with contextlib.closing(client.stream(parameters)) as replies:
        return next(replies)


@pytest.mark.parametrize("parameters", ABOUT_A_WORKFLOW, ids=lambda p: p.__name__)
def test_another_users_workflow_is_an_unknown_one(
    shared: World, key: str, parameters: type[msgspec.Struct]
) -> None:
    wanted = about(parameters, key)
    streams = parameters in (m.FollowWorkflow, m.FollowEvents, u.Watch)

    def asked() -> object:
        with Client(str(shared.daemon.socket)) as client:
            return first(client, wanted) if streams else client.call(wanted)

    answer = shared.bob.does(asked)
    assert answer == {"error": UNKNOWN, "message": f"no workflow has the key {key}"}
    # Nothing of it happened, and who owns it may.
    assert shared.alice.jobs(key)["j"]["status"] == "running"
    assert "error" not in shared.alice.asks(m.GetWorkflow(workflow_key=key))


def test_a_workflow_that_there_never_was_is_refused_in_the_same_words(shared: World) -> None:
    never = shared.bob.asks(m.GetWorkflow(workflow_key="999999999"))
    assert never == {"error": UNKNOWN, "message": "no workflow has the key 999999999"}


def test_lists_hold_ones_own_and_the_newest_is_ones_own(shared: World, key: str) -> None:
    own = shared.bob.submits({"jobs": [{"command": "true"}]})
    shared.bob.waits(own)
    newer = running(shared)
    try:
        assert [w["key"] for w in shared.bob.asks(m.ListWorkflows())["items"]] == [own]
        assert shared.bob.asks(m.GetWorkflow())["workflow"]["key"] == own
        assert shared.alice.asks(m.GetWorkflow())["workflow"]["key"] == newer
        theirs = [w["key"] for w in shared.alice.asks(m.ListWorkflows())["items"]]
        assert theirs == [key, newer]
    finally:
        shared.alice.asks(m.Delete(workflow_key=newer, force=True))


def test_what_happens_to_others_is_told_to_nobody_else(shared: World, key: str) -> None:
    def followed() -> object:
        with Client(str(shared.daemon.socket)) as client:
            events = client.call(m.ListEvents()).items
            own = None
            with contextlib.closing(client.stream(m.FollowEvents(since=1))) as replies:
                for reply in replies:
                    own = own or reply.event.workflow_key
                    events.append(reply.event)
                    if reply.event.status == "completed" and reply.event.job_name is None:
                        break
            return [event.workflow_key for event in events]

    own = shared.bob.submits({"jobs": [{"command": "true"}]})
    own_keys = {w["key"] for w in shared.bob.asks(m.ListWorkflows())["items"]}
    told = set(shared.bob.does(followed))
    assert own in told
    assert told <= own_keys
    assert {e["workflow_key"] for e in shared.alice.asks(m.ListEvents())["items"]} >= {key}


def test_the_daemon_tells_a_user_how_much_of_theirs_there_is(shared: World, key: str) -> None:
    def counted(somebody: Any) -> tuple[int, int]:
        told = somebody.asks(m.GetStatus())
        return told["workflows"], told["jobs"]

    assert counted(shared.alice) == (1, 1)
    assert counted(shared.bob) == (0, 0)


def test_a_token_is_good_in_the_hands_of_its_user_only(shared: World, key: str) -> None:
    token = (shared.alice.home / "token").read_text().strip()
    for parameters in (
        u.Fetch(name="v", token=token),
        u.Store(name="o", data=msgspec.Raw(b"1"), token=token),
        u.List(token=token),
        u.History(name="v", token=token),
    ):
        assert shared.bob.asks(parameters)["error"] == DENIED
        assert "error" not in shared.alice.asks(parameters)


def test_what_a_job_adds_runs_as_its_user_and_nobody_else_adds_anything(
    shared: World, with_admins: World, key: str
) -> None:
    spec = msgspec.Raw(b'{"jobs": [{"name": "added", "command": "id -un > who"}]}')

    def adds(world: World) -> m.AddJobs:
        token = (world.alice.home / "token").read_text().strip()
        return m.AddJobs(workflow=spec, token=token)

    assert shared.bob.asks(adds(shared))["error"] == DENIED
    assert set(shared.alice.jobs(key)) == {"j"}
    assert "error" not in shared.alice.asks(adds(shared))
    with shared.daemon.client() as client:
        for reply in client.stream(m.FollowWorkflow(workflow_key=key)):
            if reply.workflow.jobs["completed"]:
                break
    assert (shared.alice.home / "who").read_text().strip() == name_of(shared.alice.uid)
    other = running(with_admins)
    assert with_admins.stranger().asks(adds(with_admins))["error"] == DENIED
    with_admins.alice.asks(m.Delete(workflow_key=other, force=True))


def test_a_user_can_neither_stop_the_daemon_nor_have_it_read_its_configuration(
    shared: World,
) -> None:
    for parameters in (m.Stop(), m.Stop(jobs="terminate"), m.Reload()):
        assert shared.bob.asks(parameters)["error"] == DENIED
    shared.daemon.check()


def test_an_admin_sees_and_changes_all_and_is_told_whose_it_is(with_admins: World) -> None:
    key = running(with_admins)
    admin = with_admins.stranger()
    (found,) = admin.asks(m.ListWorkflows())["items"]
    assert (found["key"], found["owner"]) == (key, name_of(with_admins.alice.uid))
    assert admin.asks(m.GetStatus())["jobs"] == 1
    # The newest is one's own all the same: nobody cancels another's by leaving the key out.
    assert admin.asks(m.GetWorkflow())["error"] == UNKNOWN
    assert "items" in admin.asks(m.ListEvents())
    assert "error" not in admin.asks(m.Reload())
    admin.asks(m.Cancel(workflow_key=key))
    assert with_admins.alice.waits(key)["j"]["status"] == "canceled"
    listed = with_admins.daemon.torcctl("ls").stdout.splitlines()
    assert listed[0].split()[:3] == ["KEY", "OWNER", "NAME"]
    assert listed[1].split()[:3] == [key, name_of(with_admins.alice.uid), "secret"]


def test_an_admin_does_not_say_what_others_jobs_do(with_admins: World) -> None:
    admin = with_admins.stranger()
    spec = {"jobs": [{"name": "j", "command": "true"}]}
    of_root = with_admins.daemon.submit(spec)
    assert with_admins.daemon.torcctl("-k", of_root, "wait").returncode == 0
    of_alice = with_admins.alice.submits(spec)
    with_admins.alice.waits(of_alice)
    for key in (of_root, of_alice):
        for dry_run in (False, True):
            edit = m.Apply(
                workflow_key=key,
                workflow=GIVEN["workflow"],
                directory="/",
                dry_run=dry_run,
            )
            assert admin.asks(edit)["error"] == DENIED
        assert len(admin.asks(m.ListResults(workflow_key=key, all_runs=True))["items"]) == 1
    edit = m.Apply(workflow_key=of_alice, workflow=GIVEN["workflow"], directory="/")
    assert with_admins.alice.asks(edit)["applied"]


def test_a_job_of_an_admins_has_no_rights_but_its_own(with_admins: World) -> None:
    admin = with_admins.stranger()
    key = admin.submits({"jobs": [{"name": "j", "command": "id -u"}]})
    admin.waits(key)
    assert admin.log(key, "j").read_text() == f"{admin.uid}\n"
