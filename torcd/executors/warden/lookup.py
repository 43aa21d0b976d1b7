"""Find a program as a shell does."""

import os


def find_program(name: str, path: str) -> str | None:
    """Its file, by a PATH; a name with a slash is one already. None: there is none that may be
    executed. Raises ValueError for a name with a NUL byte."""
    if "/" in name:
        return name
    for directory in path.split(":"):
        candidate = f"{directory}/{name}" if directory else name
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
            # Without a slash (an empty entry of PATH) it is taken from the working directory.
            return candidate
    return None
