"""Tokens: whose they are, and that guessing tells nothing."""

import hmac
from typing import Any

import pytest

from torcd.controller import tokens
from torcd.model import AttemptKey

SECRET = b"s" * 32
OTHERS = b"t" * 32
GOOD = tokens.issue(SECRET, AttemptKey(17))


def test_a_token_names_its_attempt() -> None:
    assert tokens.attempt_of(SECRET, GOOD) == AttemptKey(17)
    assert tokens.attempt_of(SECRET, tokens.issue(SECRET, AttemptKey(18))) == AttemptKey(18)


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "17",
        "17.",
        GOOD + "0",
        GOOD[:-1],
        GOOD.upper(),
        " " + GOOD,
        "0" + GOOD,
        "18" + GOOD[2:],
        "\N{FULLWIDTH DIGIT ONE}7" + GOOD[2:],
        "17.\N{FULLWIDTH DIGIT ONE}" + "0" * 31,
        "9" * 10_000 + GOOD[2:],
        "17\0" + GOOD[2:],
        tokens.issue(OTHERS, AttemptKey(17)),
    ],
)
def test_what_this_daemon_did_not_issue_is_nobodys(token: str) -> None:
    assert tokens.attempt_of(SECRET, token) is None


@pytest.mark.parametrize(
    "token", [GOOD, "17." + "0" * 32, GOOD[:-1] + "!", GOOD[:4] + "0" * 31, "x." + "0" * 32]
)
def test_every_token_is_compared_whole_and_in_constant_time(
    monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    compared: list[tuple[Any, Any]] = []

    class Spied(str):
        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared as text")

        __hash__ = str.__hash__

    def spy(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return hmac_compare(one, other)

    hmac_compare = hmac.compare_digest
    monkeypatch.setattr(tokens.hmac, "compare_digest", spy)
    tokens.attempt_of(SECRET, Spied(token))
    ((given, expected),) = compared
    assert given == token.partition(".")[2].encode()
    assert len(expected) == 32
