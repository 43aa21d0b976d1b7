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


class Environment:
    """Variables that many attempts have in common, and what bash would make of them."""

    __slots__ = ("_handed_on", "_is_for_bash", "_pwd", "_pwd_is_real", "variables")

    def __init__(self, variables: dict[str, str]) -> None:
        self.variables = variables
        level = variables.get("SHLVL", "0")
        self._is_for_bash = (
            "PATH" not in variables
            or "~" in variables["PATH"]
            or not level.isdecimal()
            or str(int(level)) != level
            or len(level) > 2
            or _is_read_by_bash(variables, _KNOWN_TO_BASH)
        )
        self._handed_on = {**variables, "SHLVL": level}
        self._pwd = variables.get("PWD", "")
        self._pwd_is_real: bool | None = None
        """None: nobody has looked. Should a link be put in its place later, the directory is called
        by its real name, which is as good."""

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
        if self._pwd_is_real is None:
            self._pwd_is_real = os.path.realpath(self._pwd) == self._pwd
        real = os.getcwd()
        if self._pwd == real or self._pwd_is_real or not self._pwd.startswith("/"):
            return real
        try:
            return self._pwd if os.path.samefile(self._pwd, ".") else real
        except OSError:
            return real


def _is_read_by_bash(variables: dict[str, str], names: frozenset[str]) -> bool:
    return not names.isdisjoint(variables) or "\nBASH" in "\n".join(("", *variables))
