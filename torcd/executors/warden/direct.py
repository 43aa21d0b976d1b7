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


def prepare(
    words: list[str], environment: dict[str, str], cwd: str
) -> tuple[str, dict[str, str]] | None:
    """The file of the program and its environment; None: it takes bash. This process is in `cwd`
    already."""
    path = environment.get("PATH")
    level = environment.get("SHLVL", "0")
    if (
        path is None
        or "~" in path
        or not level.isdecimal()
        or str(int(level)) != level
        or len(level) > 2
        or not _KNOWN_TO_BASH.isdisjoint(environment)
        or "\nBASH" in "\n".join(("", *environment))
    ):
        return None
    program = find_program(words[0], path)
    if program is None:
        return None
    changed = {**environment, "SHLVL": level, "_": program, "PWD": _pwd(environment, cwd)}
    old = changed.get("OLDPWD")
    if old is not None and not os.path.isdir(old):
        del changed["OLDPWD"]
    return program, changed


def _pwd(environment: dict[str, str], cwd: str) -> str:
    """What was inherited, if that is a name of this directory, and otherwise its real one."""
    inherited = environment.get("PWD", "")
    if inherited == cwd:
        return inherited
    try:
        if inherited.startswith("/") and os.path.samefile(inherited, "."):
            return inherited
    except OSError:
        pass
    return os.getcwd()
