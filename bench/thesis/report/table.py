"""A table that is written twice: for people, in Markdown, and whole, as CSV."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One column for people.

    Attributes:
        key: of the rows' values.
        heading: over it.
        show: a value in words.
        right: whether it is aligned to the right.
    """

    key: str
    heading: str
    show: Callable[[Any], str] = str
    right: bool = True


@dataclass(frozen=True)
class Table:
    """Rows for people, and all of them with all their values as CSV.

    Attributes:
        name: of the CSV file, without its suffix.
        columns: for people.
        rows: for people.
        everything: for the CSV file, whose columns are the keys of its first row; empty writes ``rows``.
    """

    name: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    everything: Sequence[Row] = field(default=())

    def markdown(self) -> str:
        """The table in Markdown; a missing value is a dash."""
        columns = [column for column in self.columns if not self._is_told(column)]
        lines = [
            _line(column.heading for column in columns),
            _line("---:" if column.right else "---" for column in columns),
        ]
        lines += [_line(_shown(column, row) for column in columns) for row in self.rows]
        return "\n".join(lines) + "\n"

    def _is_told(self, column: Column) -> bool:
        """Whether a column says of every row which model it is of, and there is one model."""
        return column.key == "model" and len(self.rows) > 1 and len({row.get("model") for row in self.rows}) == 1

    def csv(self) -> str:
        """The table as CSV, with a heading."""
        rows = self.everything or self.rows
        keys = list(dict.fromkeys(key for row in rows for key in row))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(keys)
        for row in rows:
            writer.writerow(["" if row.get(key) is None else row[key] for key in keys])
        return text.getvalue()


def _shown(column: Column, row: Row) -> str:
    value = row.get(column.key)
    return "–" if value is None else column.show(value)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def percent(value: float) -> str:
    """A share, for example ``12.3 %``."""
    return f"{value:.1%}".replace("%", " %")


def signed_percent(value: float) -> str:
    """A difference, for example ``+12.3 %``."""
    return f"{value:+.1%}".replace("%", " %")
