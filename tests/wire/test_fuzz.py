"""A short run of what `make fuzz` does for long: all that was once worth keeping, and some news."""

from itertools import islice

import pytest

from tests.wire.fuzz import CORPUS, mutants, seeds
from tests.wire.fuzz_targets import targets

INPUTS = {"outputs": 300, "methods": 1_000}
"""Of a target; the others are quick, and get OTHERWISE."""

OTHERWISE = 3_000


@pytest.mark.parametrize("target", targets())
def test_nothing_that_comes_from_outside_finds_a_bug(target: str) -> None:
    kept = seeds(target)
    assert kept, f"there is nothing in {CORPUS / target}"
    with targets()[target]() as function:
        for data in kept:
            function(data)
        for data in islice(mutants(kept, seed=1), INPUTS.get(target, OTHERWISE)):
            function(data)


def test_each_part_of_the_corpus_has_a_target_and_is_small() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(targets())
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 256 << 10
