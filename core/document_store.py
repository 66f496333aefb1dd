"""JSON texts that survive a crash, by kind and key."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from core.directories import make_directory
from core.errors import CorruptDataError

_SETUP = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS document (
  position INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  text TEXT NOT NULL,
  UNIQUE (kind, key)
);
"""

_PUT = """
INSERT INTO document (kind, key, text) VALUES (?, ?, ?)
ON CONFLICT (kind, key) DO UPDATE SET text = excluded.text
"""


class DocumentStore:
    """Documents in one SQLite file. What ``put``, ``delete`` or ``transaction`` has returned from is on disk.

    Calls are short, so they may be made on an event loop; they may also come from any thread.
    """

    def __init__(self, path: Path) -> None:
        """Open the file ``path``, creating it and its directory where they are missing.

        Raises:
            CorruptDataError: the file is not such a store.
        """
        make_directory(path.parent)
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            self._connection.executescript(_SETUP)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise CorruptDataError(
                f"{path} cannot be used as a store of documents ({error}); move it away to begin with an empty one"
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything that is put and deleted inside is kept together, or, where an error leaves it, none of it."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.rollback()
                raise

    def put(self, kind: str, key: str, text: str) -> None:
        """Keep ``text``; one already there is replaced and keeps its place in the order."""
        with self._lock:
            self._connection.execute(_PUT, (kind, key, text))

    def get(self, kind: str, key: str) -> str | None:
        """The text, or ``None`` where there is none."""
        with self._lock:
            rows = self._connection.execute("SELECT text FROM document WHERE kind = ? AND key = ?", (kind, key))
            row = rows.fetchone()
        return None if row is None else str(row[0])

    def delete(self, kind: str, key: str) -> None:
        """Forget the text; nothing happens where there is none."""
        with self._lock:
            self._connection.execute("DELETE FROM document WHERE kind = ? AND key = ?", (kind, key))

    def list(self, kind: str) -> list[tuple[str, str]]:
        """Key and text of every document of a kind, in the order in which the keys were first put."""
        with self._lock:
            rows = self._connection.execute("SELECT key, text FROM document WHERE kind = ? ORDER BY position", (kind,))
            return [(str(key), str(text)) for key, text in rows]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
