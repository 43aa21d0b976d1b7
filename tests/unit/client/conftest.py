from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.client.scripted_daemon import ScriptedDaemon


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedDaemon]:
    for name in ("TORC_SOCKET", "TORC_TOKEN", "TORC_WORKFLOW_KEY", "TORC_JOB_KEY", "TORC_INPUTS"):
        monkeypatch.delenv(name, raising=False)
    scripted = ScriptedDaemon(str(tmp_path / "torcd.sock"))
    scripted.start()
    yield scripted
    scripted.stop()
