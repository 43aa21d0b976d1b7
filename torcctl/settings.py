"""The client's settings: torcctl.toml. Every key has a default; an unknown one is an error.

`Settings` is the one list of what there is: `config` shows, checks and writes by it.
"""

import os
from typing import Literal, cast

import msgspec

from torcd.errors import ConfigError


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    format: Literal["table", "json"] = "table"
    """How things are printed where neither -F nor --json says it."""
    color: Literal["auto", "never"] = "auto"
    """Colour in tables: on a terminal unless NO_COLOR is set, or never."""
    max_parallel_jobs: int | None = None
    """What `run` and `submit` do without -j; absent: as many at once as CPUs."""


CHOICES: dict[str, tuple[str, ...]] = {
    "format": ("table", "json"),
    "color": ("auto", "never"),
}


def load(path: str) -> Settings:
    """The settings in the file; the defaults where it does not exist. Raises ConfigError."""
    return check(read(path), path)


def read(path: str) -> dict[str, object]:
    """What the file says, unchecked; nothing where it does not exist. Raises ConfigError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return {}
    except OSError as e:
        raise ConfigError(f"cannot read {path}: {e.strerror}", file=path) from None
    # Late: most users have no such file, and this is on the way of every command.
    import tomllib

    try:
        with os.fdopen(fd, "rb") as file:
            return tomllib.load(file)
    except OSError as e:
        raise ConfigError(f"cannot read {path}: {e.strerror}", file=path) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ConfigError(f"{path} is not TOML: {e}", file=path) from None


def check(values: dict[str, object], path: str) -> Settings:
    """Raises ConfigError, which names the key and what it may be."""
    known = Settings.__struct_fields__
    for key, value in values.items():
        if key not in known:
            import difflib

            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}"
            raise ConfigError(f"{path}: no setting is called '{key}'; {hint}", file=path, key=key)
        problem = _problem(key, value)
        if problem:
            raise ConfigError(f"{path}: '{key}' must be {problem}", file=path, key=key)
    return msgspec.convert(values, Settings)


def _problem(key: str, value: object) -> str | None:
    choices = CHOICES.get(key)
    if choices:
        return None if value in choices else f"one of {', '.join(choices)}"
    good = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    return None if good else "a number from 1"


def from_text(key: str, text: str) -> object:
    """The value that a word on the command line means for a setting; checked by `check`."""
    return int(text) if key not in CHOICES and text.isascii() and text.isdigit() else text


def write(path: str, values: dict[str, object]) -> None:
    """Replace the file, whole or not at all. Raises ConfigError."""
    import tempfile
    from pathlib import Path

    import tomli_w

    directory = Path(path).parent
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory, delete=False) as file:
            try:
                tomli_w.dump(values, file)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink()
                raise
    except OSError as e:
        raise ConfigError(f"cannot write {path}: {e.strerror}", file=path) from None


def defaults() -> dict[str, object]:
    """All settings that have a default, as `config create` writes them."""
    values = cast("dict[str, object]", msgspec.to_builtins(Settings()))
    return {key: value for key, value in values.items() if value is not None}
