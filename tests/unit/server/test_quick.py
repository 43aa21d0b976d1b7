"""Calls that are answered where they come in: as the handlers would, or not at all."""

import contextlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from tests.unit.controller.still_life import StillLife, still_life
from torcd.accounts import Peer
from torcd.controller import core, tokens
from torcd.errors import Denied, TorcError
from torcd.executors.base import Lost
from torcd.model import AttemptKey
from torcd.protocol import envelope
from torcd.scheduler.commands import SaveValue
from torcd.server import forms, quick
from torcd.server.calls import Call, Dispatcher
from torcd.server.handlers import HANDLERS, records
from torcd.server.quick import Quick
from torcd.value import parse

SPEC = b"""
{"user_data": [{"name": "out"}, {"name": "in", "data": [1, 2.50]}, {"name": "other"},
               {"name": "fits", "schema": {"type": "string"}}],
 "jobs": [{"command": "true", "output_user_data": ["out", "fits"], "input_user_data": ["in"]}]}
"""


ROOT = Peer(0, is_admin=True)


class World:
    def __init__(self, life: StillLife, token: str) -> None:
        self.life = life
        self.token = token
        self.quick = Quick(life.controller)
        context = msgspec.structs.replace(life.context, keep=self.quick.keep)
        self.handlers = Dispatcher(HANDLERS, context)

    def call(self, method: str, **parameters: Any) -> bytes:
        parameters = {"token": self.token, **parameters}
        return json.dumps(
            {"method": f"io.torcd.UserData.{method}", "parameters": parameters}
        ).encode()

    async def handled(self, message: bytes) -> bytes:
        """A handler's answer."""
        raw = envelope.decode_call(message)
        call = Call(raw.method, raw.parameters, bool(raw.more), ROOT, _send_nothing)
        try:
            return envelope.encode_reply(await self.handlers.answer(call))
        except TorcError as error:
            return envelope.encode_error(error)

    async def answered(self, message: bytes) -> bytes:
        """The quick answer, which there must be."""
        later: list[bytes] = []
        is_here = anyio.Event()

        def take(answer: bytes) -> None:
            later.append(answer)
            is_here.set()

        answer = self.quick.answer(message, ROOT, take)
        assert answer is not None, "it was left to the handlers"
        if answer != "later":
            return answer
        assert not later
        await is_here.wait()
        return later[0]

    async def at_rest(self) -> None:
        while self.life.controller.is_ahead_of_disk:
            await anyio.lowlevel.checkpoint()

    def is_left_to_handlers(self, message: bytes, peer: Peer = ROOT) -> bool:
        return self.quick.answer(message, peer, lambda _: None) is None


async def _send_nothing(reply: object) -> None: ...


@asynccontextmanager
async def world(state_dir: Path) -> AsyncIterator[World]:
    (state_dir / "attempts").mkdir()
    with anyio.fail_after(20):
        async with still_life(state_dir) as life:
            await life.submit(SPEC)
            while not life.executor.ordered:
                await anyio.lowlevel.checkpoint()
            # It has an input, so its order is given when TORC_INPUTS has been written.
            await life.controller.settled()
            yield World(life, life.executor.ordered[0].environment["TORC_TOKEN"])


def without(answer: bytes, *fields: str) -> Any:
    record = json.loads(answer[:-1])["parameters"]["record"]
    return {name: value for name, value in record.items() if name not in fields}


async def test_a_store_is_answered_as_by_the_handler_when_it_is_on_disk(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        message = here.call("Store", name="out", data={"b": 1.50, "a": "ä"})
        first = await here.handled(message)
        held = anyio.Event()
        here.life.store.before_commit = held.wait
        answers: list[bytes] = []
        assert here.quick.answer(message, ROOT, answers.append) == "later"
        await anyio.wait_all_tasks_blocked()
        assert not answers, "it was answered before it was on disk"
        held.set()
        while not answers:
            await anyio.lowlevel.checkpoint()
        second = answers[0]
        assert without(second, "stored_at", "revision") == without(first, "stored_at", "revision")
        assert (without(first)["revision"], without(second)["revision"]) == (1, 2)
        assert await here.handled(here.call("Fetch", name="out")) == second


async def test_a_fetch_is_answered_as_by_the_handler_once_it_was_asked_for(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        for name in ("in", "out"):
            message = here.call("Fetch", name=name)
            if name == "out":
                await here.handled(here.call("Store", name=name, data=[None, "x"]))
            assert here.is_left_to_handlers(message)
            by_handler = await here.handled(message)
            await here.at_rest()
            assert await here.answered(message) == by_handler


async def test_what_is_kept_is_void_when_there_is_a_newer_value(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        fetch = here.call("Fetch", name="out")
        await here.handled(here.call("Store", name="out", data=1))
        await here.handled(fetch)
        await here.at_rest()
        assert without(await here.answered(fetch))["data"] == 1
        await here.handled(here.call("Store", name="out", data=2))
        assert here.is_left_to_handlers(fetch)
        await here.handled(fetch)
        await here.answered(here.call("Store", name="out", data=3))
        await here.at_rest()
        assert await here.answered(fetch) == await here.handled(fetch)
        assert without(await here.answered(fetch))["data"] == 3


async def test_while_something_is_not_on_disk_nothing_is_answered_from_memory(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as here:
        fetch = here.call("Fetch", name="in")
        await here.handled(fetch)
        await here.at_rest()
        await here.answered(fetch)
        held = anyio.Event()
        here.life.store.before_commit = held.wait
        store = here.call("Store", name="out", data=1)
        answers: list[bytes] = []
        assert here.quick.answer(store, ROOT, answers.append) == "later"
        assert here.is_left_to_handlers(fetch)
        held.set()
        while not answers:
            await anyio.lowlevel.checkpoint()
        await here.at_rest()
        assert await here.answered(fetch)


async def test_answers_that_are_kept_have_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as here:
        fetches = [here.call("Fetch", name=name) for name in ("in", "out")]
        await here.handled(here.call("Store", name="out", data=1))
        room = max([len(await here.handled(fetch)) for fetch in fetches])
        monkeypatch.setattr(quick, "MAX_KEPT_BYTES", room)
        for fetch in fetches:
            await here.handled(fetch)
        await here.at_rest()
        assert here.is_left_to_handlers(fetches[0])
        assert await here.answered(fetches[1])


async def test_what_is_not_as_usual_is_left_to_the_handlers(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        for fetch in (here.call("Fetch", name="in"), here.call("Fetch", name="out")):
            await here.handled(fetch)
        await here.at_rest()
        for message in (
            here.call("Fetch", name="out"),  # it has no value
            here.call("Fetch", name="other"),
            here.call("Fetch", name="none"),
            here.call("Fetch", name="in", revision=1),
            here.call("Fetch", name="in", token="1.x"),
            here.call("Fetch", name="in", token=None, workflow_key="1"),
            here.call("Fetch", name="in", workflow_key="1000"),
            here.call("Store", name="out", workflow_key="1000", data=1),
            here.call("Fetch", name=1),
            here.call("Fetch"),
            here.call("List"),
            here.call("Store", name="in", data=1),
            here.call("Store", name="fits", data=1),
            here.call("Store", name="fits", data="x"),
            here.call("Store", name="out"),
            here.call("Store", name="out", data="x" * quick.MAX_CALL_BYTES),
            here.call("Store", name="out", data=1).replace(b'"data": 1', b'"data": NaN'),
            here.call("Store", name="out", data=1).replace(b"{", b'{"oneway": true, ', 1),
            here.call("Store", name="out", data=1).replace(b"{", b'{"more": true, ', 1),
            b'{"method": 1}',
            b"{",
        ):
            assert here.is_left_to_handlers(message), message


async def test_a_token_in_the_hands_of_another_user_is_left_to_the_handlers(
    tmp_path: Path,
) -> None:
    another = Peer(os.geteuid() + 1, is_admin=False)
    async with world(tmp_path) as here:
        fetch = here.call("Fetch", name="in")
        await here.handled(fetch)
        await here.at_rest()
        for message in (fetch, here.call("Store", name="out", data=1)):
            assert here.is_left_to_handlers(message, another)
        assert await here.answered(fetch)
        assert here.is_left_to_handlers(fetch, another), "though it was answered before"


async def test_what_was_asked_before_is_found_out_anew_when_the_job_is_another(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as here:
        fetch = here.call("Fetch", name="in")
        await here.handled(fetch)
        await here.at_rest()
        assert await here.answered(fetch)
        _, node, _ = here.life.controller.attempt(here.token)
        node.job = msgspec.structs.replace(node.job, input_user_data=())  # as an edit says
        assert here.is_left_to_handlers(fetch)


async def test_what_was_asked_is_remembered_up_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick, "MAX_ASKED", 2)
    async with world(tmp_path) as here:
        await here.handled(here.call("Fetch", name="in"))
        await here.at_rest()
        for seconds in range(1, 6):
            fetch = here.call("Fetch", name="in", timeout_seconds=seconds)
            for _ in range(2):
                assert await here.answered(fetch)
                assert 1 <= len(here.quick._asked) <= 2
        known = dict(here.quick._asked)
        assert await here.answered(fetch + b" " * quick.MAX_ASKED_BYTES)
        assert here.quick._asked == known


async def test_a_name_that_is_a_key_is_looked_up_each_time(tmp_path: Path) -> None:
    """An edit may add something that has it as its name."""
    async with world(tmp_path) as here:
        answer = await here.handled(here.call("Fetch", name="in"))
        await here.at_rest()
        key = without(answer)["key"]
        assert await here.answered(here.call("Fetch", name=key)) == answer
        assert not here.quick._asked
        assert await here.answered(here.call("Fetch", key=key)) == answer
        assert here.quick._asked


async def test_who_has_stored_there_before_is_looked_at_as_closely_as_ever(tmp_path: Path) -> None:
    another = Peer(os.geteuid() + 1, is_admin=False)
    async with world(tmp_path) as here:
        store = here.call("Store", name="out", data=1)
        await here.answered(store)
        assert here.quick._forms.get(here.token, "out") is not None
        assert here.is_left_to_handlers(store, another)
        assert here.is_left_to_handlers(here.call("Store", name="out", workflow_key="99", data=1))
        (node,) = here.life.controller.scheduler.workflows.values()
        (job,) = node.jobs.values()
        data = node.data[node.data_keys["out"]]
        declared = data.data
        data.data = msgspec.structs.replace(declared, schema=msgspec.Raw(b"false"))
        assert here.is_left_to_handlers(store)
        data.data = declared
        was, job.job = job.job, msgspec.structs.replace(job.job, output_user_data=())
        assert here.is_left_to_handlers(store)
        job.job = was
        await here.answered(store)
        controller = here.life.controller
        here.life.executor.report([Lost(AttemptKey(1), controller.now(), "gone")])
        await controller.settled()
        await here.at_rest()
        assert here.is_left_to_handlers(store)


async def test_what_answers_are_like_is_kept_up_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "MAX_FORMS", 2)
    async with world(tmp_path) as here:
        await here.answered(here.call("Store", name="out", data=1))
        kept = here.quick._forms
        form = kept.get(here.token, "out")
        assert form is not None
        for n in range(5):
            kept.keep(str(n), form)
            assert kept.get(str(n), "out") is form
            assert len(kept._forms) <= 2


async def test_a_token_that_was_good_is_void_when_its_attempt_has_ended(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        fetch = here.call("Fetch", name="in")
        await here.handled(fetch)
        await here.at_rest()
        assert await here.answered(fetch)
        controller = here.life.controller
        here.life.executor.report([Lost(AttemptKey(1), controller.now(), "gone")])
        await controller.settled()
        await here.at_rest()
        assert here.is_left_to_handlers(fetch)
        assert json.loads((await here.handled(fetch))[:-1])["error"] == "io.torcd.UserData.Denied"


async def test_who_has_stored_there_before_may_not_when_that_has_changed(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        controller = here.life.controller
        message = here.call("Store", name="out", data=1)
        await here.answered(message)
        await here.answered(message)
        node, job, key = controller.attempt(here.token)
        data = node.data[node.data_keys["out"]]
        declared, definition = data.data, job.job

        data.data = msgspec.structs.replace(declared, schema=msgspec.Raw(b"{}"))
        assert here.is_left_to_handlers(message)
        data.data = declared

        job.job = msgspec.structs.replace(definition, output_user_data=())
        assert here.is_left_to_handlers(message)
        job.job = definition

        assert here.is_left_to_handlers(message, Peer(os.geteuid() + 1, is_admin=False))
        record = without(await here.answered(message))
        assert record["revision"] == 3
        here.life.executor.report([Lost(key, controller.now(), "gone")])
        await here.at_rest()
        assert here.is_left_to_handlers(message)


async def test_where_jobs_have_stored_is_remembered_by_name_up_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as here:
        key = here.life.controller.attempt(here.token)[0].data_keys["out"]
        by_key = here.call("Store", key=str(key), data=1)
        named_by_key = here.call("Store", name=str(key), data=1)
        plain = here.call("Store", name="out", data=1)
        for revision, message in enumerate((by_key, named_by_key, plain, plain), start=1):
            assert without(await here.answered(message))["revision"] == revision
            await here.at_rest()
        kept = here.quick._forms
        assert list(kept._forms) == [(here.token, "out", None, None)]
        monkeypatch.setattr(forms, "MAX_FORMS", 2)
        form = kept.get((here.token, "out", None, None))
        assert form is not None
        for n in range(5):
            words = (f"{n}", "out", None, None)
            kept.keep(words, form)
            assert len(kept._forms) <= 2
            assert kept.get(words) is form


async def test_an_answer_is_filled_in_whatever_the_names_are(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        node, job, attempt_key = here.life.controller.attempt(here.token)
        data = node.data[node.data_keys["out"]]
        data.data = msgspec.structs.replace(data.data, name="%d %b %% {0}")
        job.job = msgspec.structs.replace(job.job, name="50% of %s")
        form = forms.form_of(node, job, attempt_key, data.data)
        saved = SaveValue(
            workflow_key=node.key,
            data_key=data.data.key,
            revision=7,
            value=parse(b'"%d"', name="out"),
            run_id=1,
            attempt_key=attempt_key,
            at=here.life.controller.now(),
        )
        raw = msgspec.Raw(b'"%d"')
        reply = records.stored(node, data.data, raw, [saved], records.stored_by(node, job))
        assert form.filled(raw, saved) == envelope.encode_reply(reply)


async def test_tokens_that_were_shown_are_remembered_up_to_a_bound_and_wrong_ones_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "MAX_SHOWN_TOKENS", 2)
    async with world(tmp_path) as here:
        controller = here.life.controller
        for key in range(1, 8):
            with contextlib.suppress(Denied):
                controller.attempt(tokens.issue(controller.store.secret, AttemptKey(key)))
            with pytest.raises(Denied):
                controller.attempt(f"{key}.{'0' * 32}")
            assert 1 <= len(controller._shown_tokens) <= 2
            assert not [token for token in controller._shown_tokens if token.endswith("0" * 32)]
        assert controller.attempt(here.token)[2] == AttemptKey(1)


async def test_a_store_that_the_scheduler_refuses_is_told_as_by_the_handler(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as here:
        message = here.call("Store", name="out", data=1)
        answers: list[bytes] = []
        held = anyio.Event()
        here.life.store.before_commit = held.wait
        controller = here.life.controller
        # The end of its attempt is decided before it.
        here.life.executor.report([Lost(AttemptKey(1), controller.now(), "gone")])
        assert here.quick.answer(message, ROOT, answers.append) == "later"
        held.set()
        while not answers:
            await anyio.lowlevel.checkpoint()
        assert json.loads(answers[0][:-1])["error"] == "io.torcd.UserData.Denied"
