"""The client's settings, and `torcctl config`."""

import tomllib
from pathlib import Path

import pytest

from tests.unit.torcctl.canned_daemon import CannedDaemon
from tests.unit.torcctl.conftest import Run
from torcctl import settings
from torcd.protocol import manager as m


@pytest.fixture
def file(home: Path) -> Path:
    return home / "config/torcd/torcctl.toml"


def test_without_a_file_every_setting_has_its_default(torcctl: Run, file: Path) -> None:
    shown = torcctl("config", "show", "--json").json()
    assert shown == {"format": "table", "color": "auto", "max_parallel_jobs": None}
    assert torcctl("config", "path").out == f"{file}\n"
    assert not file.exists()


def test_create_writes_the_defaults_and_replaces_nothing(torcctl: Run, file: Path) -> None:
    assert torcctl("config", "create").out == f"{file}\n"
    assert settings.load(str(file)) == settings.Settings()
    file.write_text("# mine\n")
    outcome = torcctl("config", "create")
    assert outcome.code == 1
    assert "exists" in outcome.err
    assert file.read_text() == "# mine\n"


def test_set_changes_one_setting_and_keeps_the_others(torcctl: Run, file: Path) -> None:
    assert torcctl("config", "set", "max_parallel_jobs", "4").code == 0
    assert torcctl("config", "set", "color", "never").code == 0
    assert tomllib.loads(file.read_text()) == {"max_parallel_jobs": 4, "color": "never"}
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("fromat", "json", "did you mean 'format'?"),
        ("zzz", "json", "there are format, color, max_parallel_jobs"),
        ("format", "xml", "one of table, json"),
        ("max_parallel_jobs", "0", "a number from 1"),
        ("max_parallel_jobs", "many", "a number from 1"),
    ],
)
def test_a_wrong_setting_is_refused_and_says_what_may_be(
    key: str, value: str, remedy: str, torcctl: Run, file: Path
) -> None:
    outcome = torcctl("config", "set", key, value)
    assert outcome.code == 1
    assert remedy in outcome.err
    assert not file.exists()


@pytest.mark.parametrize(
    "text", ["format = ", 'fromat = "json"\n', "max_parallel_jobs = true\n", "\xff"]
)
def test_a_wrong_file_is_an_error_of_every_command_that_reads_it(
    text: str, torcctl: Run, file: Path, daemon: CannedDaemon
) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(text.encode("latin-1"))
    daemon.answer(m.ListWorkflows, m.WorkflowsReply([]))
    outcome = torcctl("ls")
    assert outcome.code == 1
    assert str(file) in outcome.err


def test_the_format_of_the_settings_counts_until_an_option_says_otherwise(
    torcctl: Run, file: Path, daemon: CannedDaemon
) -> None:
    daemon.answer(m.ListWorkflows, m.WorkflowsReply([]))
    torcctl("config", "set", "format", "json")
    assert torcctl("ls").json() == {"items": []}
    assert torcctl("-F", "table", "ls").out == ""
