"""What may come from outside, as functions of any bytes: each raises if it finds a bug.

A target is `function(data: bytes) -> None`. `fuzz.py` feeds them; so does `test_fuzz.py`.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import anyio
import msgspec
import structlog
from anyio.from_thread import BlockingPortal, start_blocking_portal

from tests.unit.controller.still_life import StillLife, still_life
from torcd import errors, value
from torcd.accounts import Peer
from torcd.controller.harvest import Expected, harvest_all
from torcd.controller.sightings import ToSee
from torcd.executors.base import Exited
from torcd.executors.local.link import Link
from torcd.executors.warden import journal
from torcd.executors.warden.warden import Warden
from torcd.model import DataKey, FileKey
from torcd.protocol import envelope
from torcd.protocol.framing import Splitter
from torcd.protocol.manager.workflows import Delete
from torcd.protocol.registry import INTERFACES, Method, full_name
from torcd.server.answers import pieces_of
from torcd.server.calls import Call, Dispatcher
from torcd.server.handlers import HANDLERS
from torcd.validation import Checker

Target = Callable[[bytes], None]


class Dice:
    """Choices, made by bytes; the same bytes make the same choices. When they are used up it is
    always the first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._next = 0

    def number(self, limit: int) -> int:
        """Below `limit`, which is at most 65 536."""
        size = 1 if limit <= 256 else 2
        taken = self._data[self._next : self._next + size]
        self._next += size
        return int.from_bytes(taken, "big") % limit

    def pick(self, things: Any) -> Any:
        return things[self.number(len(things))]

    def rest(self) -> bytes:
        return self._data[self._next :]

    def piece(self) -> bytes:
        size = self.number(256)
        taken = self._data[self._next : self._next + size]
        self._next += size
        return taken


def _for_people(error: Exception) -> None:
    assert 0 < len(str(error)) < 2_000


# Framing and envelope

_LIMIT = 100


def splitter(data: bytes) -> None:
    """However a stream comes in pieces, it is cut into the same messages, or refused."""
    dice = Dice(data)
    pieces = [dice.piece() for _ in range(dice.number(20))] + [dice.rest()]
    stream = b"".join(pieces)
    *whole, tail = stream.split(b"\0")
    found: list[bytes] = []
    cut = Splitter(_LIMIT)
    try:
        for piece in pieces:
            found += cut.feed(piece)
    except errors.InvalidMessage:
        assert max(map(len, [*whole, tail])) > _LIMIT
        assert found == whole[: len(found)]
        assert not cut.is_mid_message
        return
    assert found == whole
    assert cut.unfinished_bytes == len(tail) <= _LIMIT


def calls(data: bytes) -> None:
    """A message is a call and nothing but, or an InvalidMessage."""
    try:
        call = envelope.decode_call(data)
    except errors.InvalidMessage as error:
        envelope.encode_error(error)
        return
    said = _loosely(data)
    assert said["method"] == call.method
    given = said.get("parameters")
    assert _loosely(bytes(call.parameters)) == ({} if given is None else given)


def answers(data: bytes) -> None:
    try:
        answer = envelope.decode_answer(data)
    except errors.InvalidMessage:
        return
    _loosely(bytes(answer.parameters))
    errors.by_code(answer.error or "")


def _loosely(text: bytes) -> Any:
    """Texts that nobody looks at are passed over, whatever their bytes: a value is looked at when
    it is stored."""
    return json.loads(text.decode("utf-8", "replace"))


# Values

_DIGITS = 4_000
"""Of a number that the reference takes; Python's own limit."""


class _NotInReference(Exception):
    """The slow way has limits that ours has not."""


def values(data: bytes) -> None:
    """Two texts, with a NUL between them: strict JSON or refused, and of equal hash if equal."""
    one, _, other = data.partition(b"\0")
    parsed = [_parsed(text) for text in (one, other)]
    try:
        known = [_reference(text) for text in (one, other)]
    except _NotInReference:
        return
    for ours, theirs in zip(parsed, known, strict=True):
        assert (ours is None) == (theirs is None)
    if None not in known:
        hashes = [v.sha256 for v in parsed if v is not None]
        assert (hashes[0] == hashes[1]) == (known[0] == known[1])


def _parsed(text: bytes) -> value.Value | None:
    try:
        found = value.parse(text, name="x", max_bytes=1 << 20)
    except (errors.InvalidValue, errors.TooLarge) as error:
        _for_people(error)
        return None
    assert value.parse(found.text, name="x") == found
    return found


def _reference(text: bytes) -> object | None:
    """The value, comparable; None: it is not to be had."""

    def refuse(constant: str) -> object:
        raise ValueError(constant)

    try:
        found = json.loads(
            text.strip(b" \t\r\n").decode(),
            parse_int=_number,
            parse_float=_number,
            parse_constant=refuse,
        )
        return _comparable(found, 0)
    except RecursionError:
        return None
    except (ValueError, UnicodeDecodeError):
        return None


def _number(text: str) -> Decimal:
    if len(text) > _DIGITS:
        raise _NotInReference
    try:
        # Not normalize(), which rounds.
        sign, digits, exponent = Decimal(text).as_tuple()
    except InvalidOperation:
        raise _NotInReference from None
    assert isinstance(exponent, int)
    if abs(exponent) > 10**15 or not any(digits):
        if any(digits):
            raise _NotInReference
        return Decimal(0)
    return Decimal((sign, digits, exponent))


def _comparable(found: object, depth: int) -> object:
    """Tuples that say what they are: for Python true is 1."""
    match found:
        case dict() | list() if depth >= value.MAX_DEPTH:
            raise ValueError("too deep")
        case dict():
            members = ((_text(k), _comparable(v, depth + 1)) for k, v in found.items())
            return ("object", *sorted(members, key=lambda member: member[0]))
        case list():
            return ("array", *(_comparable(item, depth + 1) for item in found))
        case str():
            return ("text", _text(found))
        case _:
            return (type(found).__name__, found)


def _text(text: str) -> str:
    text.encode()  # no half of a surrogate pair
    return text


# What a job leaves in TORC_OUTPUT


@contextmanager
def _harvesting() -> Iterator[Target]:
    with tempfile.TemporaryDirectory() as directory, Checker() as checker:
        path = Path(directory) / "output"
        expected = Expected(
            output_path=str(path),
            data={"a": DataKey(1), "b": DataKey(2), "\N{SNOWMAN}": DataKey(3)},
            schemas={DataKey(2): b'{"type":["integer","array"],"maximum":5,"uniqueItems":true}'},
            files=(ToSee(FileKey(9), f"{directory}/none", None),),
            reads=None,
        )

        def target(data: bytes) -> None:
            path.write_bytes(data)
            found = harvest_all([expected], 1 << 10, checker)[0].outputs
            assert found.missing_files == (FileKey(9),)
            assert found.problem is None or 0 < len(found.problem) < 1_000
            assert found.problem is None or not found.values
            for key, parsed in found.values:
                assert key in expected.data.values()
                json.loads(parsed.text)

        yield target


# The warden's lines


def reports(data: bytes) -> None:
    """What comes from a warden: reports, or the link is closed with the reason."""
    link: Any = Link.__new__(Link)
    got: list[Any] = []
    link._input, link._output, link._transport = bytearray(), [], None
    link._receive = lambda _, message: got.append(message)
    link.problem = None
    link.data_received(data)
    for message in got:
        for report in message.reports:
            if isinstance(report, Exited):
                msgspec.json.encode(report.return_code)
    assert link.problem is None or len(str(link.problem)) < 1_000


def orders(data: bytes) -> None:
    """What comes to a warden: it is obeyed, or that daemon is let go."""
    warden: Any = Warden.__new__(Warden)
    warden._environments = {"e": {}}
    warden._channel = _Lines(data.split(b"\n"))
    warden._attempts = warden._orphans = warden._cleaner = _Anything()
    warden._retiring = False
    warden._listen()


class _Lines:
    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines

    def receive(self) -> list[bytes]:
        return self._lines

    def disconnect(self) -> None: ...


class _Anything:
    leave_children = False

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: None


def journals(data: bytes) -> None:
    """A journal is read, or refused with the line that is wrong."""
    try:
        past = journal.replay(data.decode("utf-8", "replace"))
    except journal.UnreadableJournal as error:
        _for_people(error)
        return
    for key, entry in past.entries.items():
        assert isinstance(key, int)
        assert entry.pid >= 0


# Every method

_NAMES = ("v", "w", "job", "k", "*", "no", "", "1", "2", "3", "4", "5", "6", "7", "\N{SNOWMAN}")
_NUMBERS = (b"0", b"1", b"-1", b"2", b"1.5", b"1e999", b"9223372036854775808", b"-0.0", b"1e-400")
_WORDS = (b"null", b"true", b"false", b"[]", b"{}", b"NaN", b'"\\ud800"', b'"\\u0000"', b'""')
_SPECS = (
    b'{"jobs":[{"command":"true"}]}',
    b'{"jobs":[{"name":"{i}","command":"x {i}","parameters":{"i":"1:9"}}]}',
    b'{"jobs":[{"name":"job","command":["x"],"depends_on":["k"]},{"name":"k","command":"y"}]}',
    b'{"user_data":[{"name":"v","data":1},{"name":"w","available":"on_store"}],"jobs":[{"name":"job",'
    b'"command":"x","input_user_data":["w"]},{"name":"k","command":"y","output_user_data":["w"]}]}',
)


class _World:
    """A daemon without a socket and without processes; begun anew when much has been done to it."""

    CALLS = 500

    def __init__(self, portal: BlockingPortal) -> None:
        self._portal = portal
        self._calls = self.CALLS
        self._end: Any = None

    def answer(self, message: bytes) -> None:
        if self._calls >= self.CALLS:
            self.close()
            self._begin()
        self._calls += 1
        self._portal.call(self._answer, message)

    def _begin(self) -> None:
        self._calls = 0
        self._directory = tempfile.TemporaryDirectory()
        self._world: StillLife
        self._wrapped = self._portal.wrap_async_context_manager(
            still_life(Path(self._directory.name))
        )
        self._world = self._wrapped.__enter__()
        self._dispatcher = Dispatcher(HANDLERS, self._world.context)
        for spec in _SPECS:
            self._portal.call(self._world.submit, spec)

    def close(self) -> None:
        if self._calls < self.CALLS or hasattr(self, "_wrapped"):
            self._wrapped.__exit__(None, None, None)
            self._directory.cleanup()
            del self._wrapped
            self._calls = self.CALLS

    async def _answer(self, message: bytes) -> None:
        try:
            raw = envelope.decode_call(message)
        except errors.InvalidMessage:
            return
        call = Call(raw.method, raw.parameters, bool(raw.more), Peer(0, is_admin=True), _send)
        # To delete by force is to wait for the end of what runs, and here nothing ends.
        if self._dispatcher.may_wait(call) or call.method == full_name(Delete):
            with anyio.move_on_after(0.002):
                await self._told(call)
        else:
            await self._told(call)

    async def _told(self, call: Call) -> None:
        try:
            await pieces_of(await self._dispatcher.answer(call))
        except errors.TorcError as error:
            _for_people(error)
            envelope.encode_error(error)


async def _send(reply: msgspec.Struct) -> None:
    await pieces_of(reply, continues=True)


def message(data: bytes) -> bytes:
    """A call that is nearly right, as the bytes choose."""
    dice = Dice(data)
    interface = dice.pick(INTERFACES)
    method: Method = dice.pick(interface.methods)
    members = []
    for field in msgspec.structs.fields(method.parameters):
        if field.required or dice.number(2):
            members.append(b'"%s":%s' % (field.encode_name.encode(), _parameter(dice, field.name)))
    if not dice.number(8):
        members.append(b'"surely_unknown":1')
    return b'{"method":"%s","more":%s,"parameters":{%s}}' % (
        full_name(method.parameters).encode(),
        b"true" if method.streams or not dice.number(4) else b"false",
        b",".join(members),
    )


def _parameter(dice: Dice, name: str) -> bytes:
    match name, dice.number(4):
        case _, 0:
            return _json(dice, 4)
        case "workflow", _:
            return bytes(dice.pick(_SPECS))
        case "directory", _:
            return b'"/"'
        case "jobs", _:
            return b"[%s]" % b",".join(_name(dice) for _ in range(dice.number(3)))
        case "workflow_key", _:
            return b'"%d"' % dice.pick((1, 2, 4, 7, 8, 99))
        case _, 1:
            return bytes(dice.pick(_NUMBERS))
        case _, 2:
            return bytes(dice.pick(_WORDS))
    return _name(dice)


def _name(dice: Dice) -> bytes:
    return json.dumps(dice.pick(_NAMES)).encode()


def _json(dice: Dice, depth: int) -> bytes:
    match dice.number(6 if depth else 4):
        case 0:
            return bytes(dice.pick(_NUMBERS))
        case 1:
            return bytes(dice.pick(_WORDS))
        case 2:
            return _name(dice)
        case 3:
            return dice.piece()
        case 4:
            return b"[%s]" % b",".join(_json(dice, depth - 1) for _ in range(dice.number(4)))
    members = (b"%s:%s" % (_name(dice), _json(dice, depth - 1)) for _ in range(dice.number(4)))
    return b"{%s}" % b",".join(members)


@contextmanager
def _calling() -> Iterator[Target]:
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()], logger_factory=_mute)
    with start_blocking_portal() as portal:
        world = _World(portal)
        try:
            yield lambda data: world.answer(message(data))
        finally:
            world.close()
            structlog.reset_defaults()


def _mute(*_: object) -> Any:
    return structlog.testing.CapturingLogger()


@contextmanager
def _plain(function: Target) -> Iterator[Target]:
    yield function


def targets() -> dict[str, Callable[[], Any]]:
    """By name: what makes a target ready."""
    plain = (splitter, calls, answers, values, reports, orders, journals)
    found: dict[str, Callable[[], Any]] = {
        function.__name__: lambda function=function: _plain(function) for function in plain
    }
    return {**found, "outputs": _harvesting, "methods": _calling}
