"""Each claim of docs/security.md names tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
FILES = dict(re.findall(r"^\| `(\w+)` \| `(tests/[\w/]+\.py)` \|$", PAGE, re.MULTILINE))
NAMED = sorted(set(re.findall(r"`(\w+)::(\w+)`", PAGE)))
CLAIMS = [
    line
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| claim |", "| ---", "| name |", "| `"))
]


@pytest.mark.parametrize(("name", "test"), NAMED)
def test_a_test_that_the_page_names_exists(name: str, test: str) -> None:
    text = (ROOT / FILES[name]).read_text()
    assert re.search(rf"^(async )?def {test}\(", text, re.MULTILINE), f"{FILES[name]}::{test}"


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_names_a_test(claim: str) -> None:
    assert re.search(r"`\w+::\w+`", claim.split("|")[2])


def test_the_page_claims_something() -> None:
    assert len(CLAIMS) > 25
    assert set(FILES) == {name for name, _ in NAMED}
