"""What a report is made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

from bench.thesis.report.table import Column, Table

NOT_AT_HAND = "not at hand"
"""In the place of a figure of the thesis that we do not know."""


@dataclass(frozen=True)
class ThesisFigure:
    """Something that the thesis found.

    Attributes:
        what: it is.
        value: in words, or ``NOT_AT_HAND``.
        hardware: on what, as far as we know.
    """

    what: str
    value: str = NOT_AT_HAND
    hardware: str = NOT_AT_HAND


@dataclass(frozen=True)
class Picture:
    """A figure of the report.

    Attributes:
        name: of the PNG file, without its suffix.
        caption: below it, and instead of it for who cannot see it.
        draw: makes it.
    """

    name: str
    caption: str
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class Section:
    """One experiment.

    Attributes:
        title: with the thesis's number.
        what: was measured, in words.
        tables: of results.
        pictures: of results.
        thesis: its own figures.
        findings: what agrees, what does not and why.
    """

    title: str
    what: str
    tables: Sequence[Table]
    pictures: Sequence[Picture]
    thesis: Sequence[ThesisFigure]
    findings: Sequence[str] = field(default=())

    def markdown(self, figures: Path) -> str:
        """The section in Markdown, with its pictures in ``figures``."""
        parts = [f"## {self.title}", self.what]
        parts += [table.markdown() for table in self.tables]
        parts += [f"![{one.caption}]({figures.as_posix()}/{one.name}.png)\n\n*{one.caption}*" for one in self.pictures]
        parts += ["**The thesis's own figures**", thesis_table(self.thesis).markdown()]
        parts.append("**What agrees, what does not, and why.** " + " ".join(self.findings))
        return "\n\n".join(part.strip() for part in parts) + "\n"


def thesis_table(figures: Sequence[ThesisFigure]) -> Table:
    """The thesis's figures with their hardware."""
    columns = [
        Column("what", "thesis", right=False),
        Column("value", "figure", right=False),
        Column("hardware", "hardware", right=False),
    ]
    return Table("", columns, [vars(one) for one in figures])
