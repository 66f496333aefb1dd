"""What a disk may hold after a power cut, at every moment of a write."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from core.document_store import DocumentStore


def moments(path: Path, store: DocumentStore, write: Callable[[], None], directory: Path) -> list[Path]:
    """Copies of the store's files as they were at the beginning of each statement of ``write``, and at its end.

    The end of a copy's log is torn as well, at the end of every sector that came since the copy before.
    """
    copies: list[Path] = []

    def copy(_statement: str = "") -> None:
        to = directory / f"{len(copies)}" / path.name
        to.parent.mkdir(parents=True)
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{path}{suffix}", f"{to}{suffix}")
        copies.append(to)

    copy()
    store._connection.set_trace_callback(copy)
    try:
        write()
    finally:
        store._connection.set_trace_callback(None)
    copy()
    return copies


def torn(before: Path, after: Path, directory: Path, sector_bytes: int = 512) -> Iterator[tuple[Path, bool]]:
    """Copies in which the log holds only a part of what came between two moments, and whether it is all of it.

    Sectors that are missing hold zeros, or the log ends before them.
    """
    old, new = (Path(f"{path}-wal").read_bytes() for path in (before, after))
    for number, end in enumerate(range(len(old), len(new) + sector_bytes, sector_bytes)):
        end = min(end, len(new))
        for kind, rest in (("short", b""), ("zeros", bytes(len(new) - end))):
            to = directory / f"{number} {kind}" / after.name
            to.parent.mkdir(parents=True)
            shutil.copyfile(after, to)
            Path(f"{to}-wal").write_bytes(new[:end] + rest)
            yield to, end == len(new)
