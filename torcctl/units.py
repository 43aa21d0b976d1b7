"""The files with which systemd runs torcd: what is in them, and where they go.

They are the files of configs/systemd, with the program where it is installed.
"""

import os
import sys
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

from torcd import locations
from torcd.errors import UserError

Scope = Literal["user", "system"]

UNITS = ("torcd.socket", "torcd.service")

MARK = """\
# Written by torcctl daemon install, which may write it again: for changes use a drop-in
# (systemctl edit torcd).
"""
"""How such a file begins; one that begins otherwise is somebody else's."""

_SOURCES = Path(__file__).absolute().parent.parent / "configs" / "systemd"
_ETC = Path("/etc")


class CannotInstall(UserError):
    """Something is in the way. Facts: path."""

    code = "CannotInstall"


class UnitFile(msgspec.Struct, frozen=True):
    path: str
    text: str

    def is_there(self) -> bool:
        """As it is to be. Raises CannotInstall for a file that is somebody else's."""
        try:
            found = Path(self.path).read_text(errors="replace")
        except FileNotFoundError:
            return False
        except OSError as error:
            raise CannotInstall(
                f"cannot read {self.path}: {error.strerror}", path=self.path
            ) from None
        if not found.startswith(MARK):
            raise CannotInstall(
                f"{self.path} is there and was not written by torcctl; remove it, or go on with it",
                path=self.path,
            )
        return found == self.text


def files(scope: Scope) -> list[UnitFile]:
    """All that is to be there. Raises CannotInstall when the program is not installed."""
    directory = units_directory(scope)
    found = [UnitFile(str(directory / name), _unit(scope, name)) for name in UNITS]
    if scope == "system":
        for name in ("pam.d/torcd", "sysusers.d/torcd.conf", "tmpfiles.d/torcd.conf"):
            text = MARK + _source(*name.split("/"))
            found.insert(0, UnitFile(str(_ETC / name), text))
    return found


def units_directory(scope: Scope) -> Path:
    if scope == "system":
        return _ETC / "systemd" / "system"
    return Path(locations.client_config()).parent.parent / "systemd" / "user"


def socket_path(scope: Scope) -> str:
    return locations.SYSTEM_SOCKET if scope == "system" else locations.user_socket()


def _unit(scope: Scope, name: str) -> str:
    text = _source(scope, name)
    for program in ("torcd", "torcctl"):
        text = text.replace(f"=/usr/bin/{program} ", f"={escaped(_program(program))} ")
    return MARK + text


def _source(*parts: str) -> str:
    packaged = resources.files("torcctl").joinpath("systemd", *parts)
    source = packaged if packaged.is_file() else _SOURCES.joinpath(*parts)
    return source.read_text()


def _program(name: str) -> str:
    """Beside the Python that runs us: where pip, pipx and packages put it."""
    path = os.path.join(os.path.dirname(os.path.abspath(sys.executable)), name)
    if not os.access(path, os.X_OK):
        raise CannotInstall(
            f"there is no program {path}; install torcd into the environment of {sys.executable}",
            path=path,
        )
    return path


def escaped(path: str) -> str:
    """As a word of systemd's command lines (systemd.service(5)). Raises CannotInstall for what it
    takes for no program's path, however it is written."""
    if not path.isprintable() or any(character in path for character in "\"'\\"):
        raise CannotInstall(
            f"systemd starts no program whose path has quotes, backslashes or control characters: "
            f"{path}; install torcd elsewhere",
            path=path,
        )
    plain = path.replace("%", "%%")
    return f'"{plain}"' if " " in plain or ";" in plain else plain
