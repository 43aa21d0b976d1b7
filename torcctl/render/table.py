"""Tables: aligned columns for programs and files, rich ones for people on a terminal.

A plain table has its head and every value in full, so that it is the same whoever looks; `-` stands
for nothing, so that each row has every column. On a terminal long names and
messages are folded, not cut.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

import msgspec

from torcctl.render.text import clean

Row = TypeVar("Row")

NOTHING = "-"

MAX_ON_TERMINAL = 1_000
"""Characters of a cell: a name or a message may have any number, and would flood the screen. Plain
tables and JSON have all of them."""


class Column(msgspec.Struct, Generic[Row], frozen=True):
    """A column: its title, and the text of a row's cell."""

    title: str
    cell: Callable[[Row], str | int | None]
    right: bool = False
    """Aligned to the right: numbers."""
    style: Callable[[Row], str | None] | None = None
    """A style of rich, for a terminal in colour."""
    folds: bool = False
    """On a terminal, a long text goes on in the next line: for names, paths and messages."""
    cut_on_terminal: int = MAX_ON_TERMINAL
    """How many characters a terminal shows of it: fewer of values, which may be megabytes."""


def cells(columns: Sequence[Column[Row]], row: Row) -> list[str]:
    """The row's texts, fit for a terminal."""
    values = (column.cell(row) for column in columns)
    return [NOTHING if v is None or v == "" else clean(str(v)) for v in values]


def plain(columns: Sequence[Column[Row]], rows: Iterable[Row]) -> str:
    """The table as text with aligned columns, each line ended."""
    lines = [[column.title for column in columns], *(cells(columns, row) for row in rows)]
    widths = [max(map(len, texts)) for texts in zip(*lines, strict=True)]
    return "".join(_line(columns, widths, line) for line in lines)


def _line(columns: Sequence[Column[Row]], widths: list[int], texts: list[str]) -> str:
    padded = (
        text.rjust(width) if column.right else text.ljust(width)
        for column, width, text in zip(columns, widths, texts, strict=True)
    )
    return "  ".join(padded).rstrip() + "\n"


def on_terminal(
    columns: Sequence[Column[Row]], rows: Iterable[Row], *, width: int, color: bool
) -> str:
    """The table as text for a terminal of that width."""
    # Late: rich takes longer to import than all the rest of a command.
    import io

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.folds,
            overflow="fold" if column.folds else "ellipsis",
        )
    for row in rows:
        texts = zip(columns, cells(columns, row), strict=True)
        table.add_row(*(Text(_cut(c, text), (c.style and c.style(row)) or "") for c, text in texts))
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )
    console.print(table)
    return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines())


def _cut(column: Column[Row], text: str) -> str:
    limit = column.cut_on_terminal
    return text if len(text) <= limit else text[: limit - 1] + "…"
