"""Uploads that lie about themselves end in typed errors and leave everything as it was."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from core.errors import CorruptDataError, InvalidArgumentError, InvalidTensorError, PartitaError, TooLargeError
from partita.v1 import deployer_pb2, deployer_pb2_grpc, model_pool_pb2, model_pool_pb2_grpc, types_pb2
from services.deployer import deployer_service
from services.model_pool import model_pool_service
from services.runtime.channels import Channels
from services.runtime.errors import typed_errors
from services.runtime.server import serving
from services.runtime.settings import Settings

DATA = b"0123456789"
NAME = hashlib.sha256(DATA).hexdigest()
LIMIT = 1000


def chunk(offset: int, data: bytes = DATA) -> types_pb2.Chunk:
    return types_pb2.Chunk(offset=offset, data=data)


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    settings = Settings(
        services=("deployer", "model_pool"),
        data_directory=tmp_path,
        model_limit_bytes=LIMIT,
        tensor_limit_bytes=LIMIT,
    )
    async with serving("127.0.0.1:0", [deployer_service(settings), model_pool_service(settings)]) as address:
        yield address


def put_header(byte_count: int = 10, sha256: str = NAME) -> model_pool_pb2.PutBlobRequest:
    return model_pool_pb2.PutBlobRequest(header=model_pool_pb2.BlobHeader(byte_count=byte_count, sha256=sha256))


def put(offset: int, data: bytes = DATA) -> model_pool_pb2.PutBlobRequest:
    return model_pool_pb2.PutBlobRequest(chunk=chunk(offset, data))


@pytest.mark.parametrize(
    ("requests", "error", "message"),
    [
        ([], InvalidArgumentError, "header"),
        ([put(0)], InvalidArgumentError, "header"),
        ([model_pool_pb2.PutBlobRequest()], InvalidArgumentError, "header"),
        ([put_header(), put_header(), put(0)], InvalidArgumentError, "header"),
        ([put_header()], InvalidArgumentError, "ended after 0 of 10"),
        ([put_header(), put(0, b"01234")], InvalidArgumentError, "ended after 5 of 10"),
        ([put_header(), put(5)], InvalidArgumentError, "offset 5 came where 0"),
        ([put_header(), put(0, b"01234"), put(4, b"56789")], InvalidArgumentError, "offset 4 came where 5"),
        ([put_header(), put(0), put(0)], InvalidArgumentError, "offset 0 came where 10"),
        ([put_header(), put(0), put(10)], TooLargeError, "20 bytes came, but 10 were announced"),
        ([put_header(), *[put(0, bytes(2**20))] * 8], TooLargeError, "were announced"),
        ([put_header(2**62), put(0)], TooLargeError, f"{2**62} bytes; at most"),
        ([put_header(0), put(0)], TooLargeError, "0 were announced"),
        ([put_header(sha256="0" * 64), put(0)], CorruptDataError, "0" * 64),
        ([put_header(sha256="../../secret"), put(0)], CorruptDataError, "secret"),
    ],
)
async def test_blobs(
    address: str,
    tmp_path: Path,
    requests: Sequence[model_pool_pb2.PutBlobRequest],
    error: type[PartitaError],
    message: str,
) -> None:
    async with Channels() as channels:
        stub = model_pool_pb2_grpc.ModelPoolStub(channels.to(address))
        with pytest.raises(error, match=message), typed_errors("the ModelPool"):
            await stub.PutBlob(iter(requests), timeout=60)
        assert list((tmp_path / "blobs").iterdir()) == []
        # The next one finds everything in order.
        response = await stub.PutBlob(iter([put_header(), put(0, b"01234"), put(5, b"56789")]), timeout=60)
    assert response.sha256 == NAME
    assert (tmp_path / "blobs" / NAME).read_bytes() == DATA


def load_header(byte_count: int = 10) -> deployer_pb2.LoadRequest:
    return deployer_pb2.LoadRequest(header=deployer_pb2.LoadHeader(name="net", byte_count=byte_count))


def model(offset: int, data: bytes = DATA) -> deployer_pb2.LoadRequest:
    return deployer_pb2.LoadRequest(model=chunk(offset, data))


def sample(part: types_pb2.TensorSpec | types_pb2.Chunk) -> deployer_pb2.LoadRequest:
    if isinstance(part, types_pb2.Chunk):
        return deployer_pb2.LoadRequest(sample=types_pb2.TensorPart(chunk=part))
    return deployer_pb2.LoadRequest(sample=types_pb2.TensorPart(header=part))


def tensor(dtype: str, *shape: int) -> types_pb2.TensorSpec:
    return types_pb2.TensorSpec(name="images", dtype=dtype, shape=shape)


@pytest.mark.parametrize(
    ("requests", "error", "message"),
    [
        ([], InvalidArgumentError, "begins with a header"),
        ([model(0)], InvalidArgumentError, "one header"),
        ([deployer_pb2.LoadRequest()], InvalidArgumentError, "one header"),
        ([load_header(), load_header()], InvalidArgumentError, "one header"),
        ([load_header()], InvalidArgumentError, "'net': the stream ended after 0 of 10"),
        ([load_header(), model(0), model(0)], InvalidArgumentError, "offset 0 came where 10"),
        ([load_header(), model(3)], InvalidArgumentError, "offset 3 came where 0"),
        ([load_header(), model(0), model(10)], TooLargeError, "20 bytes came, but 10 were announced"),
        ([load_header(LIMIT + 1)], TooLargeError, f"{LIMIT + 1} bytes; at most {LIMIT}"),
        ([load_header(), model(0), sample(chunk(0))], InvalidArgumentError, "before any tensor header"),
        ([load_header(), model(0), sample(tensor("float32", 2**40))], TooLargeError, "'images'"),
        ([load_header(), model(0), sample(tensor("object", 1))], InvalidTensorError, "'object'"),
        ([load_header(), model(0), sample(tensor("int8", -1))], InvalidTensorError, "-1"),
        ([load_header(), model(0), sample(tensor("int8", 4)), sample(chunk(0))], TooLargeError, "4 were announced"),
        ([load_header(), model(0), sample(tensor("int8", 10)), sample(chunk(1))], InvalidArgumentError, "offset 1"),
        ([load_header(), model(0), sample(tensor("int8", 10))], InvalidArgumentError, "ended after 0 of 10"),
    ],
)
async def test_models(
    address: str,
    tmp_path: Path,
    requests: Sequence[deployer_pb2.LoadRequest],
    error: type[PartitaError],
    message: str,
) -> None:
    async with Channels() as channels:
        stub = deployer_pb2_grpc.DeployerStub(channels.to(address))
        with pytest.raises(error, match=message), typed_errors("the Deployer"):
            async for _ in stub.Load(iter(requests), timeout=60):
                pass
        assert not (await stub.ListModels(deployer_pb2.ListModelsRequest(), timeout=60)).models
    assert list((tmp_path / "blobs").iterdir()) == []
