"""Tokens: how a job shows which attempt it is.

A token is the attempt's key and a keyed hash of it. Nothing has to be kept for each, and one is
good exactly as long as its attempt is active.
"""

import hashlib
import hmac
from functools import cache

from torcd.model import AttemptKey

_HASH_BYTES = 16
"""128 bits of BLAKE2, keyed: enough for a secret that ends with the attempt. An HMAC of OpenSSL
takes three times as long, and there is one for each job."""


def issue(secret: bytes, attempt_key: AttemptKey) -> str:
    return f"{attempt_key}.{_digest(secret, str(attempt_key))}"


def attempt_of(secret: bytes, token: str) -> AttemptKey | None:
    """Whose token it is; None if we did not issue it. Takes the same time for every wrong one."""
    number, _, digest = token.partition(".")
    expected = _digest(secret, number)
    is_ours = hmac.compare_digest(digest.encode(), expected.encode())
    return AttemptKey(int(number)) if is_ours else None


def _digest(secret: bytes, number: str) -> str:
    digest = _keyed(secret).copy()
    digest.update(number.encode("utf-8", "replace"))
    return digest.hexdigest()


@cache
def _keyed(secret: bytes) -> "hashlib.blake2b":
    """With the key taken in, which is half of the work. There is one secret in a process."""
    return hashlib.blake2b(key=secret, digest_size=_HASH_BYTES)
