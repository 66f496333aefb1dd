"""Components kept on the server's own disk, so that a restart does not need the pool."""

import asyncio
import logging
from pathlib import Path

from core.blob_store import BlobStore
from core.errors import CorruptDataError, NotFoundError
from inferencer.ports import BlobSource

logger = logging.getLogger(__name__)


class BlobCache:
    """A source of blobs that keeps what it fetched.

    A disk that cannot be used, or holds damaged blobs, costs time only: blobs come from the source then.

    Args:
        source: where blobs come from that are not kept.
        directory: where they are kept; of this process alone.
        limit_bytes: most bytes kept; those used longest ago give way.
    """

    def __init__(self, source: BlobSource, directory: Path, limit_bytes: int) -> None:
        self._source = source
        self._limit_bytes = limit_bytes
        self._store: BlobStore | None = None
        try:
            self._store = BlobStore(directory)
        except OSError as error:
            logger.warning("components are not kept on disk: %s; set --data-directory to a writable one", error)

    async def get_blob(self, sha256: str) -> bytes:
        """The verified content of a blob.

        Raises:
            NotFoundError: it is neither kept nor in the source.
            InvalidArgumentError: ``sha256`` is not a hash.
        """
        store = self._store
        if store is None:
            return await self._source.get_blob(sha256)
        kept = await asyncio.to_thread(_read, store, sha256)
        if kept is not None:
            return kept
        data = await self._source.get_blob(sha256)
        await asyncio.to_thread(_keep, store, data, self._limit_bytes)
        return data


def _read(store: BlobStore, sha256: str) -> bytes | None:
    try:
        data = store.get(sha256)
        store.touch(sha256)
    except NotFoundError:
        return None
    except (CorruptDataError, OSError) as error:
        logger.warning("a kept component is of no use and is fetched again: %s", error)
        return None
    return data


def _keep(store: BlobStore, data: bytes, limit_bytes: int) -> None:
    if len(data) > limit_bytes:
        return
    try:
        store.shrink(limit_bytes - len(data))
        store.put(data)
    except OSError as error:
        logger.warning("a component was not kept on disk: %s", error)
