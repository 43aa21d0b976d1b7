"""Run a plain command without the shell that would run it, so that the program notices nothing.

bash, given a plain command, sets a few variables and becomes the program. That is done here; where
bash would do more (functions, options or start-up files come to it by the environment, the program
is not found), it is left to bash, which then also says what is wrong in its own words.
"""

import os

from torcd.executors.warden.lookup import find_program

_KNOWN_TO_BASH = frozenset(
    """
    COLUMNS DIRSTACK EPOCHREALTIME EPOCHSECONDS EUID EXECIGNORE FUNCNAME GLOBIGNORE GROUPS HISTCMD
    IFS LINENO LINES OPTARG OPTERR OPTIND PIPESTATUS POSIXLY_CORRECT PPID RANDOM SECONDS SHELLOPTS
    SRANDOM UID
    """.split()  # noqa: SIM905
)
"""Variables that change what bash does, or that it changes or takes out. So do those whose names
begin with BASH."""


_READ_BY_BASH = _KNOWN_TO_BASH | {"OLDPWD", "PATH", "PWD", "SHLVL", "_"}


_NOWHERE = (0, 0)


class Environment:
    """Variables that many attempts have in common, and what bash would make of them."""

    __slots__ = ("_handed_on", "_is_for_bash", "_pwd", "_pwd_place", "variables")

    def __init__(self, variables: dict[str, str]) -> None:
        self.variables = variables
        level = variables.get("SHLVL", "0")
        self._is_for_bash = (
            "PATH" not in variables
            or "~" in variables["PATH"]
            or len(level) > 2
            or not level.isdecimal()
            or str(int(level)) != level
            or _is_read_by_bash(variables, _KNOWN_TO_BASH)
        )
        self._handed_on = {**variables, "SHLVL": level}
        self._pwd = variables.get("PWD", "")
        self._pwd_place: tuple[int, int] | None = None
        """Device and inode of that directory; None: nobody has looked. Should something else be put
        there later, jobs get the real name of their directory, which is as good."""

    def prepare(
        self, words: list[str], own: dict[str, str], cwd: str
    ) -> tuple[str, dict[str, str]] | None:
        """The file of the program and all of its variables; None: it takes bash. `own`: the
        attempt's own variables. This process is in `cwd` already."""
        if own and _is_read_by_bash(own, _READ_BY_BASH):
            return Environment({**self.variables, **own}).prepare(words, {}, cwd)
        if self._is_for_bash:
            return None
        program = find_program(words[0], self.variables["PATH"])
        if program is None:
            return None
        variables = {**self._handed_on, **own, "_": program, "PWD": self._name_of(cwd)}
        old = variables.get("OLDPWD")
        if old is not None and not os.path.isdir(old):
            del variables["OLDPWD"]
        return program, variables

    def _name_of(self, cwd: str) -> str:
        """What was inherited, if that is a name of this directory, and otherwise its real one."""
        if self._pwd == cwd:
            return cwd
        place = self._pwd_place
        if place is None:
            place = self._pwd_place = (
                _place_of(self._pwd) if self._pwd.startswith("/") else _NOWHERE
            )
        if _place_of(".") == place != _NOWHERE and _place_of(self._pwd) == place:
            return self._pwd
        return os.getcwd()


def _place_of(directory: str) -> tuple[int, int]:
    try:
        facts = os.stat(directory)
    except (OSError, ValueError):
        return _NOWHERE
    return facts.st_dev, facts.st_ino


def _is_read_by_bash(variables: dict[str, str], names: frozenset[str]) -> bool:
    return not names.isdisjoint(variables) or "\nBASH" in "\n".join(("", *variables))
