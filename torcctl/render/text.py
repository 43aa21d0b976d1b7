"""Text that came from elsewhere, made fit for a terminal.

Names, commands and messages may hold anything: an escape sequence would move the cursor or retitle
the window of whoever lists the jobs. Light on purpose: the quick path imports it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing and collections cost time
    from collections.abc import Iterable


def clean(text: str) -> str:
    """One line without control or other invisible characters: they appear escaped, as in Python."""
    if text.isprintable():
        return text
    return "".join(ch if ch.isprintable() else ch.encode("unicode_escape").decode() for ch in text)


def clean_lines(text: str) -> str:
    """The same for text of several lines: line ends stay, a tab becomes spaces."""
    return "\n".join(clean(line.expandtabs()) for line in text.split("\n"))


def pairs(items: Iterable[tuple[str, str | int | None]]) -> str:
    """What one thing is like: a name and a value a line."""
    known = [(name, value) for name, value in items if value is not None and value != ""]
    width = max((len(name) for name, _ in known), default=0)
    return "".join(f"{name.ljust(width)}  {clean(str(value))}\n" for name, value in known)
