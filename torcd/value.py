"""What a user_data value may be: strict JSON text, and what makes two of them equal.

A value's text is kept as it was sent. Whether two values are equal is asked of a canonical text:
keys sorted, no white space, strings by content, numbers by value. Nothing compares canonical
texts; they are hashed, and the SHA-256 is the value's identity.

A number in the canonical text is its significant digits d (no zero at either end) and a power of
ten e. Where that is short it is written plainly (`100`, `10.5`), otherwise as `<d>e<e>`, so that
1e1000000000 costs no more than its own digits. No number passes through a float, which would make
different numbers equal, or through an int of many digits, which takes quadratic time to convert.
"""

import hashlib
import re
from collections.abc import Callable

import msgspec

from torcd.errors import InvalidValue, TooLarge

MAX_VALUE_BYTES = 16 * 1024 * 1024
"""The largest user_data value, by default: data for files belongs into files."""

MAX_DEPTH = 64
"""How deep arrays and objects may be nested; a scalar has depth 0."""

_MAX_PLAIN_DIGITS = 40
"""Numbers of more digits are written with an exponent: small texts (1e4000) stay small."""

_MAX_PLAIN_DECIMALS = 30

_MAX_EXPONENT_DIGITS = 1000
"""No number of physics or mathematics comes near it; Python's integers have a limit at 4 300."""

_PIECE_BYTES = 128 << 10
"""What is copied to be looked at: it is in the processor's cache then."""

WHITE_SPACE = b" \t\r\n"


class Value(msgspec.Struct, frozen=True):
    """A value that has been checked."""

    text: bytes | memoryview
    """As sent, without the white space at its ends."""
    sha256: str
    """Equal for values that are equal, whatever their texts; in hexadecimal."""
    file: str | None = None
    """In which the store has it already (`torcd.store.value_files`). None: it is not large, or
    nowhere yet."""


def parse(text: bytes, *, name: str, max_bytes: int = MAX_VALUE_BYTES) -> Value:
    """Check a value and make its identity. `name` is only for the error.

    Raises TooLarge, or InvalidValue for anything but strict JSON in UTF-8 (RFC 8259): NaN and
    infinities, lone surrogates, trailing text, more than MAX_DEPTH levels. Of equal keys in one
    object the last counts.
    """
    text = text.strip(WHITE_SPACE)
    if len(text) > max_bytes:
        raise TooLarge(
            f"the value of {name!r} has {len(text)} bytes, and {max_bytes} are allowed; "
            "store large data in a file and pass the file",
            name=name,
            size_bytes=len(text),
            limit_bytes=max_bytes,
        )
    try:
        canonical = _canonical(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, _Refused) as e:
        problem = _describe(text, e)
        raise InvalidValue(
            f"the value of {name!r} is refused: {problem}", name=name, problem=problem
        ) from None
    return Value(text, hashlib.sha256(canonical).hexdigest())


def is_plain_string(text: memoryview) -> bool:
    """Of JSON: whether it is one string that is canonical as it stands."""
    if bytes(text[:1]) != b'"':
        return False
    for start in range(0, text.nbytes, _PIECE_BYTES):
        piece = bytes(text[start : start + _PIECE_BYTES])
        if b"\\" in piece or not piece.isascii():
            return False
    return True


def parse_in_place(
    text: memoryview,
    *,
    max_bytes: int = MAX_VALUE_BYTES,
    is_plain: Callable[[memoryview], bool] = is_plain_string,
) -> Value | None:
    """As `parse`, without a copy of it, of text that was read as JSON (as a `msgspec.Raw`) and has
    no white space at its ends. None: it has to be parsed. What is light, it is not, unless an
    escape is in it. `is_plain`: who looks at that."""
    if text.nbytes > max_bytes or bytes(text[:1]) != b'"':
        return None
    digest = hashlib.sha256(text)  # others can run meanwhile
    if not is_plain(text):
        return None
    return Value(text, digest.hexdigest())


class _Refused(Exception):
    """JSON, but more than we take."""


_QUOTE = ord('"')
_LONG_RUN = b"0" * (_MAX_PLAIN_DIGITS + 1)
_ALL_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")

_STRING_OR_NUMBER = re.compile(
    # Nothing in it gives back what it took, and a string that never ends is taken to the end of
    # the text: so the time is linear whatever the text is.
    rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+"?|[0-9]++([.eE][0-9.eE+-]*+)?',
    re.DOTALL,
)

_PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,9})\.[0-9]{0,29}[1-9]").fullmatch
"""Most numbers that people store; their text is canonical as it stands."""


def is_light(text: bytes) -> bool:
    """Whether it takes little to look at it: a few milliseconds in which Python does nothing else,
    and twice its size in memory, however large it is. One string is, if no character of it takes
    more room than its text."""
    # The first of the two is looked for much faster.
    has_codes = b"\\" in text and b"\\u" in text
    return text[:1] == b'"' and text.isascii() and not has_codes


def _canonical(text: bytes) -> bytes:
    if text[:1] == b'"':
        # One string, or refused: there are no numbers in it.
        if b"\\" in text or not text.isascii():
            return _encode(_decode(text))
        _require_json(text)
        return text
    plain = text
    if len(text) > _MAX_PLAIN_DIGITS and _LONG_RUN in text.translate(_ALL_DIGITS_TO_ZERO):
        plain = _STRING_OR_NUMBER.sub(_long_integer_as_float, text)
    canonical = _encode(_decode(plain))
    _check_depth(text)
    return canonical


def _long_integer_as_float(match: re.Match[bytes]) -> bytes:
    """The decoder hands over floats as text, and integers converted."""
    token = match[0]
    if len(token) > _MAX_PLAIN_DIGITS and match[1] is None and token[0] != _QUOTE:
        return token + b"e0"
    return token


def _canonical_number(text: str) -> msgspec.Raw | int:
    if _PLAIN_NUMBER(text):
        return msgspec.Raw(text)
    sign = "-" if text[0] == "-" else ""
    mantissa, _, power = text.lower().partition("e")
    whole, _, fraction = mantissa.removeprefix("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return 0
    significant = digits.rstrip("0")
    exponent = _exponent(power) - len(fraction) + len(digits) - len(significant)
    if exponent >= 0 and len(significant) + exponent <= _MAX_PLAIN_DIGITS:
        return msgspec.Raw(f"{sign}{significant}{'0' * exponent}")
    if 0 > exponent >= -_MAX_PLAIN_DECIMALS and len(significant) <= _MAX_PLAIN_DIGITS:
        padded = significant.rjust(1 - exponent, "0")
        return msgspec.Raw(f"{sign}{padded[:exponent]}.{padded[exponent:]}")
    return msgspec.Raw(f"{sign}{significant}e{exponent}")


def _exponent(text: str) -> int:
    digits = text.lstrip("+-").lstrip("0")
    if len(digits) > _MAX_EXPONENT_DIGITS:
        raise _Refused(f"a number's exponent has more than {_MAX_EXPONENT_DIGITS} digits")
    return int(text[0] + digits if digits and text[0] == "-" else digits or "0")


_decode = msgspec.json.Decoder(float_hook=_canonical_number).decode
_require_json = msgspec.json.Decoder(msgspec.Raw).decode
"""Takes no memory; what is not ASCII it does not look at."""
_encode = msgspec.json.Encoder(order="deterministic").encode


_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_BRACES_TO_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _check_depth(text: bytes) -> None:
    """Of well-formed text. Each round takes the innermost brackets away, at the speed of C."""
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return
    brackets = _STRING.sub(b"", text).translate(_BRACES_TO_BRACKETS, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not brackets:
            return
        brackets = brackets.replace(b"[]", b"")
    if brackets:
        raise _Refused(_TOO_DEEP)


_TOO_DEEP = f"arrays and objects are nested more than {MAX_DEPTH} levels deep"
_AT_BYTE = re.compile(r" \(byte ([0-9]+)\)$")
_LONE_AT_END = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u)")


def _describe(text: bytes, error: Exception) -> str:
    """What is wrong with it, for people."""
    if isinstance(error, _Refused):
        return str(error)
    if isinstance(error, RecursionError):
        return _TOO_DEEP
    if isinstance(error, UnicodeDecodeError):
        return _describe_encoding(text)
    if not text:
        return "it is empty; JSON for 'nothing' is null"
    said = str(error)
    # The decoder wants six bytes after half a pair before it looks at them.
    truncated = "truncated" in said
    if "surrogate" in said or (truncated and _LONE_AT_END.search(text[-12:])):
        return "a string holds half of a surrogate pair (\\ud800 to \\udfff), which is no character"
    if truncated:
        return "the JSON text ends too early"
    if at := _AT_BYTE.search(said):
        position = int(at[1])
        for constant in (b"NaN", b"Infinity"):
            if text.startswith(constant, position):
                return f"{constant.decode()} is not JSON (byte {position}); use null or a string"
    return f"not JSON: {said.removeprefix('JSON is malformed: ')}"


def _describe_encoding(text: bytes) -> str:
    try:
        text.decode()
    except UnicodeDecodeError as e:
        return f"not UTF-8: byte 0x{text[e.start]:02x} at byte {e.start} ({e.reason})"
    return "not UTF-8"
