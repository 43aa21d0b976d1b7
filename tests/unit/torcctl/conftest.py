import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.torcctl.canned_daemon import CannedDaemon
from torcctl import entry, main


class Outcome:
    """What a run of torcctl gave: its exit code and what it wrote."""

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code = code
        self.bytes = out
        self.out = out.decode(errors="replace")
        self.err = err.decode()

    def json(self) -> Any:
        return json.loads(self.out)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Outcome) and vars(self) == vars(other)

    __hash__ = None

    def __repr__(self) -> str:
        return f"Outcome({self.code}, {self.out!r}, {self.err!r})"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user of their own, who is in no job and has no settings."""
    for name in ("TORC_TOKEN", "TORC_WORKFLOW_KEY", "TORC_JOB_KEY", "NO_COLOR", "TORCCTL_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("TORC_SOCKET", str(tmp_path / "s"))
    return tmp_path


@pytest.fixture
def daemon(home: Path) -> Iterator[CannedDaemon]:
    canned = CannedDaemon(str(home / "s"))
    yield canned
    canned.close()


Run = Callable[..., Outcome]


@pytest.fixture
def torcctl(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs torcctl as its console script does; `fully` leaves the quick path out."""

    def run(*words: str, stdin: bytes = b"", fully: bool = False) -> Outcome:
        capsysbinary.readouterr()
        for name in ("_standard_input", "_began", "hung_up"):
            monkeypatch.setattr(f"torcctl.fast.values.{name}", [])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main.run(list(words)) if fully else entry.run(list(words))
        sys.stdout.flush()
        sys.stderr.flush()
        return Outcome(code, *capsysbinary.readouterr())

    return run
