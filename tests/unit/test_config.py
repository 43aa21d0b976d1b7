"""The daemon's configuration."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from torcd import config, machine
from torcd.errors import ConfigError
from torcd.locations import SYSTEM_SOCKET
from torcd.model import Capacity

EXAMPLE = Path(__file__).parents[2] / "configs" / "torcd.toml"


@pytest.fixture(autouse=True)
def _own_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("TORC_SOCKET", "TORCD_STATE_DIR", "TORCD_CONFIG", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "torcd.toml"
    path.write_text(text)
    return str(path)


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    found = config.load()
    assert found.state_dir == str(tmp_path / "state" / "torcd")
    assert found.max_value_bytes == 16 * 1024 * 1024


def test_without_a_runtime_directory_the_socket_is_where_only_the_user_can_go(
    tmp_path: Path,
) -> None:
    assert config.load().socket == str(tmp_path / "state" / "torcd" / "run" / "torcd.sock")


def test_flags_beat_the_environment_and_the_environment_beats_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, 'socket = "/file.sock"\nstate_dir = "/file"\n')
    assert config.load(path).socket == "/file.sock"
    monkeypatch.setenv("TORC_SOCKET", "/environment.sock")
    monkeypatch.setenv("TORCD_STATE_DIR", "/environment")
    assert config.load(path).socket == "/environment.sock"
    assert config.load(path).state_dir == "/environment"
    assert config.load(path, socket="/flag.sock", state_dir="/flag").socket == "/flag.sock"
    assert config.load(path, socket="/flag.sock", state_dir="/flag").state_dir == "/flag"


def test_an_unknown_key_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='no key "max_paralel_jobs"; did you mean "max_parallel'):
        config.load(written(tmp_path, "max_paralel_jobs = 3\n"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("max_parallel_jobs = 0\n", "max_parallel_jobs"),
        ('max_parallel_jobs = "many"\n', "max_parallel_jobs"),
        ("termination_grace_seconds = -1\n", "termination_grace_seconds"),
        ('log_level = "loud"\n', "log_level"),
        ("cpus = 0\n", "cpus"),
        ("gpus = -1\n", "gpus"),
        ('memory = "0"\n', 'memory`: "0" is none at all: leave it out'),
        ('memory = "much"\n', 'memory`: "much" is no amount of memory: write it like "512m"'),
        ("socket = \n", "not TOML"),
    ],
)
def test_a_wrong_value_is_refused_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as refused:
        config.load(written(tmp_path, text))
    assert str(tmp_path) in str(refused.value)


def test_what_there_is_for_jobs_can_be_said_and_is_what_the_machine_has_otherwise(
    tmp_path: Path,
) -> None:
    found = config.capacity(config.load())
    assert found == machine.capacity()
    said = config.load(written(tmp_path, 'cpus = 3\nmemory = "2g"\ngpus = 0\n'))
    assert config.capacity(said) == Capacity(cpus=3, memory_bytes=2 << 30, gpus=0)


def test_as_many_jobs_run_at_once_as_there_are_cpus_said_to_be(tmp_path: Path) -> None:
    said = config.load(written(tmp_path, "cpus = 3\n"))
    assert config.in_force(said).max_parallel_jobs == 3


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no configuration file"):
        config.load(str(tmp_path / "absent.toml"))


def test_the_example_lists_every_key_with_its_default() -> None:
    lines = EXAMPLE.read_text().splitlines()
    settings = [
        line.removeprefix("# ") for line in lines if line.startswith("# ") and " = " in line
    ]
    settings = [line for line in settings if line.split(" = ")[0].isidentifier()]
    example = tomllib.loads("\n".join(settings))
    defaults = msgspec.to_builtins(config.Config())
    assert list(example) == list(config.Config.__struct_fields__)
    # Their defaults follow from the machine, or from where it listens.
    for key in ("max_parallel_jobs", "cpus", "memory", "gpus", "users_group"):
        example.pop(key)
        defaults.pop(key)
    assert example == {key: list(v) if isinstance(v, tuple) else v for key, v in defaults.items()}


def test_a_path_that_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCD_STATE_DIR", "/tmp/\udcff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        config.load()


def test_a_place_for_cgroups_is_auto_off_or_an_absolute_path(tmp_path: Path) -> None:
    file = tmp_path / "torcd.toml"
    for good in ("auto", "off", "/sys/fs/cgroup/jobs"):
        file.write_text(f'cgroups = "{good}"\n')
        assert config.load(str(file)).cgroups == good
    file.write_text('cgroups = "jobs"\n')
    with pytest.raises(ConfigError, match='`cgroups`: \'jobs\' is neither "auto" nor "off"'):
        config.load(str(file))


def test_the_systems_daemon_serves_the_group_torcd_and_no_other_serves_anybody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    systems, own = config.Config(socket=SYSTEM_SOCKET), config.Config(socket="/elsewhere")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert config.users_group(systems) == "torcd"
    assert config.users_group(own) == ""
    assert config.users_group(msgspec.structs.replace(own, users_group="staff")) == "staff"
    assert config.users_group(msgspec.structs.replace(systems, users_group="")) == ""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert config.users_group(systems) == ""
    with pytest.raises(ConfigError, match="only a daemon that root runs can serve others"):
        config.users_group(msgspec.structs.replace(own, users_group="staff"))
