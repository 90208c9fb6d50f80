"""Prints tables and times for people: with colour only on a terminal, and no character of a name that would act on it.

`NO_COLOR` in the environment turns colour off.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from gateway.domain.texts import visible


def utc(seconds: float) -> str:
    """A time in seconds since the epoch, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def minute(seconds: float) -> str:
    """The same to the minute, for a column whose title says that it is UTC."""
    return utc(seconds)[:16]


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table. Brackets in a cell are no markup."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in made.columns:
        column.overflow = "fold"
    for row in rows:
        made.add_row(*(Text("\n".join(map(visible, cell.split("\n")))) for cell in row))
    Console(highlight=False).print(made)
