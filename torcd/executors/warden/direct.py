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

_SET_BY_BASH = _KNOWN_TO_BASH | {"PATH", "SHLVL", "PWD", "OLDPWD", "_"}


def suits(environment: dict[str, str]) -> bool:
    """Whether bash would do no more than become the program, as far as these say."""
    path = environment.get("PATH")
    level = environment.get("SHLVL", "0")
    return (
        path is not None
        and "~" not in path
        and level.isdecimal()
        and str(int(level)) == level
        and len(level) <= 2
        and _KNOWN_TO_BASH.isdisjoint(environment)
        and "\nBASH" not in "\n".join(("", *environment))
    )


def suits_besides(own: dict[str, str]) -> bool:
    """Whether it stays so with these besides: none of them means anything to bash."""
    return _SET_BY_BASH.isdisjoint(own) and "\nBASH" not in "\n".join(("", *own))


def prepare(
    words: list[str], environment: dict[str, str], cwd: str
) -> tuple[str, dict[str, str]] | None:
    """The file of the program and its environment; None: it takes bash. This process is in `cwd`
    already."""
    if not suits(environment):
        return None
    program = find_program(words[0], environment["PATH"])
    if program is None:
        return None
    changed = {
        **environment,
        "SHLVL": environment.get("SHLVL", "0"),
        "_": program,
        "PWD": _pwd(environment, cwd),
    }
    old = changed.get("OLDPWD")
    if old is not None and not os.path.isdir(old):
        del changed["OLDPWD"]
    return program, changed


def _pwd(environment: dict[str, str], cwd: str) -> str:
    """What was inherited, if that is a name of this directory, and otherwise its real one."""
    inherited = environment.get("PWD", "")
    if inherited == cwd:
        return inherited
    return inherited if is_same_directory(inherited, ".") else os.getcwd()


def is_same_directory(inherited: str, cwd: str) -> bool:
    """Whether what was inherited is a name of it, and one that bash takes."""
    try:
        return inherited.startswith("/") and os.path.samefile(inherited, cwd)
    except OSError:
        return False
