"""Text that came from elsewhere, made fit for a terminal.

Names, commands and messages may hold anything: an escape sequence would move the cursor or retitle
the window of whoever lists the jobs. Light on purpose: the quick path of `data get` imports it.
"""


def clean(text: str) -> str:
    """One line without control or other invisible characters: they appear escaped, as in Python."""
    if text.isprintable():
        return text
    return "".join(ch if ch.isprintable() else ch.encode("unicode_escape").decode() for ch in text)


def clean_lines(text: str) -> str:
    """The same for text of several lines: line ends stay, a tab becomes spaces."""
    return "\n".join(clean(line.expandtabs()) for line in text.split("\n"))
