"""Commands that README and docs show, in order."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [ROOT / "README.md", *(ROOT / "docs").glob("*.md")],
    key=lambda path: (path.parent != ROOT, path.name != "tutorial.md", path.name),
)
"""The README, the tutorial, and the other pages by name."""

BLOCK = re.compile(r"^```(?P<language>sh|python)\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(?P<call>(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?partita [^`\n]+)`")
PIECE = re.compile(f"{BLOCK.pattern}|{INLINE.pattern}", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Shown:
    """A line of a shell block, a call named in a sentence (``inline``), or a block of Python."""

    document: str
    text: str
    language: str = "sh"
    inline: bool = False


def shown() -> Iterator[Shown]:
    """All of them; what stands for something else or for a choice (``…``, ``|``) is no command."""
    for path in DOCUMENTS:
        document = str(path.relative_to(ROOT))
        for piece in PIECE.finditer(path.read_text(encoding="utf-8")):
            if piece["language"] == "python":
                yield Shown(document, piece["text"], "python")
                continue
            lines = piece["call"] or piece["text"].replace("\\\n", " ")
            for line in lines.splitlines():
                command = line.partition(" #")[0].strip()
                if command and not command.startswith("#") and not set("…|[]") & set(command):
                    yield Shown(document, command, inline=bool(piece["call"]))


SHOWN = tuple(shown())
