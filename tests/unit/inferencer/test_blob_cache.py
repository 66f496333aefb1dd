import hashlib
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from core.errors import NotFoundError
from inferencer.blob_cache import BlobCache


class Source:
    """A pool that counts how often each blob is fetched."""

    def __init__(self, *blobs: bytes) -> None:
        self.blobs = {name(blob): blob for blob in blobs}
        self.fetched: Counter[str] = Counter()

    async def get_blob(self, sha256: str) -> bytes:
        self.fetched[sha256] += 1
        if sha256 not in self.blobs:
            raise NotFoundError(f"no blob {sha256}")
        return self.blobs[sha256]


def name(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()


def kept(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


ONE, TWO, THREE = (bytes([number]) * 400 for number in range(3))


async def test_what_was_fetched_outlives_process_and_pool(tmp_path: Path) -> None:
    await BlobCache(Source(ONE), tmp_path, 1000).get_blob(name(ONE))
    assert await BlobCache(Source(), tmp_path, 1000).get_blob(name(ONE)) == ONE
    with pytest.raises(NotFoundError):
        await BlobCache(Source(), tmp_path, 1000).get_blob(name(TWO))


@pytest.mark.parametrize("damage", [b"", ONE[:-1], ONE + b"x", b"\xff" + ONE[1:]])
async def test_a_damaged_blob_is_fetched_again_and_healed(tmp_path: Path, damage: bytes) -> None:
    source = Source(ONE)
    cache = BlobCache(source, tmp_path, 1000)
    await cache.get_blob(name(ONE))
    (tmp_path / name(ONE)).write_bytes(damage)
    assert await cache.get_blob(name(ONE)) == ONE
    assert await cache.get_blob(name(ONE)) == ONE
    assert source.fetched[name(ONE)] == 2


async def test_the_limit_holds_and_the_longest_unused_give_way(tmp_path: Path) -> None:
    source = Source(ONE, TWO, THREE)
    cache = BlobCache(source, tmp_path, 1000)
    for age, blob in ((20, ONE), (10, TWO)):
        await cache.get_blob(name(blob))
        when = time.time() - age
        os.utime(tmp_path / name(blob), (when, when))
    # Used just now, although it came first.
    await cache.get_blob(name(ONE))
    await cache.get_blob(name(THREE))
    assert kept(tmp_path) == {name(ONE), name(THREE)}
    big = bytes(1001)
    source.blobs[name(big)] = big
    assert await cache.get_blob(name(big)) == big
    assert kept(tmp_path) == {name(ONE), name(THREE)}


async def test_without_a_disk_blobs_come_from_the_pool(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = BlobCache(Source(ONE), tmp_path / "file", 1000)
    assert await cache.get_blob(name(ONE)) == ONE
    assert "--data-directory" in caplog.text


async def test_a_disk_that_fails_later_costs_nothing_but_the_copy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = BlobCache(Source(ONE), tmp_path / "cache", 1000)
    (tmp_path / "cache").rmdir()
    assert await cache.get_blob(name(ONE)) == ONE
    assert "not kept" in caplog.text
