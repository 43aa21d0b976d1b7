"""The make-believe world is small: patience has to be, too, if anybody is ever to lose it."""

import pytest

from torcd.scheduler import choosing


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "PATIENCE", 2)
