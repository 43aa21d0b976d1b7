"""What several modules start from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.executor_world import World
from tests.integration.test_warden_channel import Home


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.clean()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.close()
