"""Blobs named by the SHA-256 of their content."""

import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from core.directories import make_directory, sync_directory
from core.errors import CorruptDataError, InvalidArgumentError, NotFoundError

_TEMPORARY = "incoming-"
_DAMAGED = ".corrupt"
_NAME = re.compile(r"[0-9a-f]{64}")


class BlobWriter:
    """A blob that is being written; nothing is stored before ``commit``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._temporary = directory / f"{_TEMPORARY}{uuid.uuid4().hex}"
        self._file = self._temporary.open("xb")
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Append ``data``."""
        self._hash.update(data)
        self._file.write(data)

    def commit(self, sha256: str | None = None) -> str:
        """Store what was written; it is on disk, whole, when this returns its hash.

        Args:
            sha256: the hash that the content must have, where it is known.

        Raises:
            CorruptDataError: the content has another hash; it is not stored.
        """
        actual = self._hash.hexdigest()
        if sha256 not in (None, actual):
            raise CorruptDataError(f"content announced as blob {sha256} has hash {actual}; send it again")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        # Replaces an equal blob too: that heals one which went bad since.
        self._temporary.replace(self._directory / actual)
        sync_directory(self._directory)
        return actual

    def discard(self) -> None:
        """Drop what was written, unless it was committed."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)


class BlobStore:
    """Blobs in one directory, a file each: stored once whatever the number of puts, verified when read.

    Only one process at a time may use a directory. Methods block on the disk; call them from threads.
    """

    def __init__(self, directory: Path) -> None:
        """Open ``directory``, creating it where it is missing, and drop what a crash left half-written."""
        make_directory(directory)
        self._directory = directory
        for leftover in directory.glob(f"{_TEMPORARY}*"):
            leftover.unlink()

    def put(self, data: bytes) -> str:
        """Store ``data`` and return its hash."""
        writer = self.begin()
        try:
            writer.write(data)
            return writer.commit()
        finally:
            writer.discard()

    def begin(self) -> BlobWriter:
        """Begin a blob that is written piece by piece; call ``discard`` at the end in any case."""
        return BlobWriter(self._directory)

    def has(self, sha256: str) -> bool:
        """Whether the blob is stored.

        Raises:
            InvalidArgumentError: ``sha256`` is not a hash.
        """
        return self._path(sha256).is_file()

    def size(self, sha256: str) -> int:
        """Size of a blob in bytes.

        Raises:
            NotFoundError: there is none.
            InvalidArgumentError: ``sha256`` is not a hash.
        """
        try:
            return self._path(sha256).stat().st_size
        except FileNotFoundError:
            raise _missing(sha256) from None

    def get(self, sha256: str) -> bytes:
        """Content of a blob; raises as ``read`` does."""
        return b"".join(self.read(sha256))

    def read(self, sha256: str, piece_bytes: int = 2**20) -> Iterator[bytes]:
        """Content of a blob in pieces of at most ``piece_bytes``; it is sound if the last one is followed by no error.

        A corrupt file is set aside, so that putting the blob again heals it.

        Raises:
            NotFoundError: there is none.
            CorruptDataError: after the last piece, the content does not have its hash.
            InvalidArgumentError: ``sha256`` is not a hash.
        """
        path = self._path(sha256)
        content = hashlib.sha256()
        try:
            file = path.open("rb")
        except FileNotFoundError:
            raise _missing(sha256) from None
        with file:
            while piece := file.read(piece_bytes):
                content.update(piece)
                yield piece
        if content.hexdigest() != sha256:
            path.replace(path.with_suffix(_DAMAGED))
            raise CorruptDataError(f"blob {sha256} is damaged on disk and was set aside; put it again")

    def touch(self, sha256: str) -> None:
        """Note that a blob was used now; nothing happens where there is none."""
        with suppress(FileNotFoundError):
            os.utime(self._path(sha256))

    def shrink(self, limit_bytes: int) -> None:
        """Drop blobs until those left have at most ``limit_bytes``: damaged ones, then those used longest ago."""
        found = []
        for path in self._directory.iterdir():
            if path.suffix == _DAMAGED:
                path.unlink(missing_ok=True)
            elif _NAME.fullmatch(path.name):
                with suppress(FileNotFoundError):
                    status = path.stat()
                    found.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= limit_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size

    def _path(self, sha256: str) -> Path:
        if not _NAME.fullmatch(sha256):
            raise InvalidArgumentError(
                f"{sha256[:80]!r} does not name a blob; give a SHA-256 in 64 lower-case hex digits"
            )
        return self._directory / sha256


def _missing(sha256: str) -> NotFoundError:
    return NotFoundError(f"no blob {sha256} is stored; put it first")
