"""What the command draws on a terminal, by rich. It is imported only when something is drawn."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable
from rich.text import Text

from echoserver.cli.output import inline
from echoserver.cli.tables import Table

_STYLES = {
    "ACTIVE": "green",
    "AVAILABLE": "green",
    "CLAIMED": "yellow",
    "DRAINING": "yellow",
    "ERROR": "red",
    "SPOT_TERMINATING": "red",
    "UTILIZED": "cyan",
}


def drawn(table: Table) -> RichTable | Text:
    """Return a table, or its sentence, for L{Console.draw<echoserver.cli.output.Console.draw>}."""
    if not table.rows:
        return Text(table.empty)
    made = RichTable(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for title in table.titles:
        made.add_column(title, overflow="fold", no_wrap=title in ("STATE", "STATUS"))
    for row in table.rows:
        made.add_row(*map(_cell, row))
    return made


def _cell(cell: str | None) -> Text:
    # A Text, unlike a str, is not parsed as markup.
    return Text("-", "dim") if cell is None else Text(inline(cell), _STYLES.get(cell, ""))
