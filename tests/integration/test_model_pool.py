import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from core.errors import CorruptDataError, InvalidArgumentError, NotFoundError
from partita.v1 import model_pool_pb2, model_pool_pb2_grpc, types_pb2
from services.clients.model_pool import ModelPoolClient
from services.model_pool import model_pool_service
from services.runtime.channels import Channels
from services.runtime.server import serving
from services.runtime.settings import Settings

DATA = bytes(range(256)) * 20_000
NAME = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    async with serving("127.0.0.1:0", [model_pool_service(Settings(data_directory=tmp_path))]) as address:
        yield address


@pytest.fixture
async def channels() -> AsyncIterator[Channels]:
    async with Channels() as channels:
        yield channels


@pytest.fixture
def pool(address: str, channels: Channels) -> ModelPoolClient:
    return ModelPoolClient(channels.to(address))


def blob_files(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "blobs").iterdir()]


async def until_no_file_is_left(tmp_path: Path) -> None:
    async with asyncio.timeout(30):
        while blob_files(tmp_path):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("data", [DATA, b"", b"x", bytes(2**20)])
async def test_blobs_come_back_as_they_went_in(pool: ModelPoolClient, data: bytes) -> None:
    name = await pool.put_blob(data)
    assert name == hashlib.sha256(data).hexdigest()
    assert await pool.get_blob(name) == data
    assert await pool.has_blobs([name, "0" * 64]) == {name}


async def test_a_stored_blob_is_not_sent_again(pool: ModelPoolClient, tmp_path: Path) -> None:
    await pool.put_blob(DATA)
    path = tmp_path / "blobs" / NAME
    before = path.stat()
    assert await pool.put_blob(DATA) == NAME
    assert path.stat().st_ino == before.st_ino
    assert blob_files(tmp_path) == [NAME]


async def test_a_damaged_blob_is_told_and_healed_by_putting_it_again(pool: ModelPoolClient, tmp_path: Path) -> None:
    await pool.put_blob(DATA)
    (tmp_path / "blobs" / NAME).write_bytes(DATA[:-1] + b"?")
    with pytest.raises(CorruptDataError, match=NAME):
        await pool.get_blob(NAME)
    with pytest.raises(NotFoundError, match=NAME):
        await pool.get_blob(NAME)
    await pool.put_blob(DATA)
    assert await pool.get_blob(NAME) == DATA


async def test_hostile_names_reach_no_file(pool: ModelPoolClient, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    for name in ("../secret", "", "A" * 64, "../" + "0" * 61):
        with pytest.raises(InvalidArgumentError, match="does not name a blob"):
            await pool.get_blob(name)
        with pytest.raises(InvalidArgumentError, match="does not name a blob"):
            await pool.has_blobs([name])


async def test_blobs_and_documents_survive_a_restart(tmp_path: Path) -> None:
    async with Channels() as channels:
        async with serving("127.0.0.1:0", [model_pool_service(Settings(data_directory=tmp_path))]) as address:
            pool = ModelPoolClient(channels.to(address))
            await pool.put_blob(DATA)
            await pool.put_document("model-profile", "k", "{}")
        async with serving("127.0.0.1:0", [model_pool_service(Settings(data_directory=tmp_path))]) as address:
            pool = ModelPoolClient(channels.to(address))
            assert await pool.get_blob(NAME) == DATA
            assert await pool.get_document("model-profile", "k") == "{}"


async def test_documents(pool: ModelPoolClient) -> None:
    assert await pool.get_document("model-profile", "k") is None
    await pool.put_document("model-profile", "k", "")
    assert await pool.get_document("model-profile", "k") == ""
    await pool.put_document("model-profile", "k", '{"σ": 1}')
    assert await pool.get_document("model-profile", "k") == '{"σ": 1}'
    assert await pool.get_document("other", "k") is None


async def test_many_at_once(pool: ModelPoolClient, tmp_path: Path) -> None:
    blobs = [bytes([number]) * 300_000 for number in range(20)] * 2
    names = await asyncio.gather(*map(pool.put_blob, blobs))
    assert await asyncio.gather(*map(pool.get_blob, names)) == blobs
    assert len(blob_files(tmp_path)) == 20


async def test_a_cancelled_put_leaves_nothing(address: str, channels: Channels, tmp_path: Path) -> None:
    stub = model_pool_pb2_grpc.ModelPoolStub(channels.to(address))
    taken = asyncio.Event()

    async def requests() -> AsyncIterator[model_pool_pb2.PutBlobRequest]:
        yield model_pool_pb2.PutBlobRequest(header=model_pool_pb2.BlobHeader(byte_count=len(DATA), sha256=NAME))
        yield model_pool_pb2.PutBlobRequest(chunk=types_pb2.Chunk(data=DATA[:1000]))
        taken.set()
        await asyncio.Event().wait()

    call = stub.PutBlob(requests(), timeout=60)
    await taken.wait()
    async with asyncio.timeout(30):
        while not blob_files(tmp_path):
            await asyncio.sleep(0.01)
    call.cancel()
    await until_no_file_is_left(tmp_path)


async def test_a_put_that_breaks_off_leaves_nothing(address: str, tmp_path: Path) -> None:
    def requests() -> Iterator[model_pool_pb2.PutBlobRequest]:
        yield model_pool_pb2.PutBlobRequest(header=model_pool_pb2.BlobHeader(byte_count=len(DATA), sha256=NAME))
        yield model_pool_pb2.PutBlobRequest(chunk=types_pb2.Chunk(data=DATA[:1000]))

    async with Channels() as channels:
        stub = model_pool_pb2_grpc.ModelPoolStub(channels.to(address))
        call = stub.PutBlob(requests(), timeout=60)
        assert "1000 of" in str(await call.details())
    await until_no_file_is_left(tmp_path)


async def test_a_cancelled_get_lets_go_of_the_file(address: str, channels: Channels, tmp_path: Path) -> None:
    pool = ModelPoolClient(channels.to(address))
    large = bytes(64 * 2**20)
    name = await pool.put_blob(large)

    def opened() -> bool:
        return any(file.path.endswith(name) for file in psutil.Process().open_files())

    call = model_pool_pb2_grpc.ModelPoolStub(channels.to(address)).GetBlob(model_pool_pb2.GetBlobRequest(sha256=name))
    await call.read()
    await call.read()
    # The reader stands still, so the sender waits with the file open.
    assert opened()
    call.cancel()
    async with asyncio.timeout(30):
        while opened():
            await asyncio.sleep(0.01)
    assert await pool.get_blob(name) == large
