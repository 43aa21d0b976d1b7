"""A database of the test's own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from torcd.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "torcd.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    async with Store.open(path) as opened:
        yield opened
