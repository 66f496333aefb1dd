"""Errors over the wire: our own keep their types, everything else becomes one of ours."""

# The contract names its methods.
# ruff: noqa: N802

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from core.errors import (
    ERROR_TYPES,
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
    PartitaError,
    RequestCancelledError,
    ServerUnavailableError,
    TooLargeError,
)
from partita.v1 import deployer_pb2, deployer_pb2_grpc, model_pool_pb2, model_pool_pb2_grpc, types_pb2
from services.runtime.calls import reading
from services.runtime.channels import MESSAGE_LIMIT_BYTES, Channels
from services.runtime.errors import typed_errors
from services.runtime.handlers import Context
from services.runtime.server import Binding, serving

CHUNK = model_pool_pb2.PutBlobRequest(chunk=types_pb2.Chunk(data=bytes(2**20)))


class Failing(model_pool_pb2_grpc.ModelPoolServicer):
    """Fails in each of the four kinds of call, or waits for ever."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.waiting = asyncio.Event()
        self.ended = asyncio.Event()

    async def fail(self) -> None:
        self.waiting.set()
        try:
            if self.error is not None:
                raise self.error
            await asyncio.Event().wait()
        finally:
            self.ended.set()

    async def PutBlob(
        self, request_iterator: AsyncIterator[model_pool_pb2.PutBlobRequest], context: Context
    ) -> model_pool_pb2.PutBlobResponse:
        await anext(aiter(request_iterator))
        await self.fail()
        return model_pool_pb2.PutBlobResponse()

    async def GetBlob(
        self, request: model_pool_pb2.GetBlobRequest, context: Context
    ) -> AsyncGenerator[model_pool_pb2.GetBlobResponse]:
        yield model_pool_pb2.GetBlobResponse()
        await self.fail()

    async def HasBlobs(
        self, request: model_pool_pb2.HasBlobsRequest, context: Context
    ) -> model_pool_pb2.HasBlobsResponse:
        await self.fail()
        return model_pool_pb2.HasBlobsResponse()

    async def PutDocument(
        self, request: model_pool_pb2.PutDocumentRequest, context: Context
    ) -> model_pool_pb2.PutDocumentResponse:
        return model_pool_pb2.PutDocumentResponse()

    async def GetDocument(
        self, request: model_pool_pb2.GetDocumentRequest, context: Context
    ) -> model_pool_pb2.GetDocumentResponse:
        return model_pool_pb2.GetDocumentResponse(document="x" * (MESSAGE_LIMIT_BYTES + 1))


@pytest.fixture
async def pool() -> AsyncIterator[tuple[Failing, model_pool_pb2_grpc.ModelPoolStub, grpc.aio.Channel]]:
    failing = Failing()

    @asynccontextmanager
    async def service(binding: Binding) -> AsyncIterator[None]:
        model_pool_pb2_grpc.add_ModelPoolServicer_to_server(failing, binding.server)
        yield

    async with serving("127.0.0.1:0", [service]) as address, Channels() as channels:
        yield failing, model_pool_pb2_grpc.ModelPoolStub(channels.to(address)), channels.to(address)


Pool = tuple[Failing, model_pool_pb2_grpc.ModelPoolStub, grpc.aio.Channel]


async def call_unary(stub: model_pool_pb2_grpc.ModelPoolStub) -> None:
    with typed_errors("the pool"):
        await stub.HasBlobs(model_pool_pb2.HasBlobsRequest(), timeout=60)


async def call_response_stream(stub: model_pool_pb2_grpc.ModelPoolStub) -> None:
    with typed_errors("the pool"), reading(stub.GetBlob(model_pool_pb2.GetBlobRequest(), timeout=60)) as call:
        async for _ in call:
            pass


async def call_request_stream(stub: model_pool_pb2_grpc.ModelPoolStub) -> None:
    with typed_errors("the pool"):
        await stub.PutBlob(iter([CHUNK] * 8), timeout=60)


CALLS = (call_unary, call_response_stream, call_request_stream)


@pytest.mark.parametrize("error", ERROR_TYPES.values())
async def test_every_error_keeps_type_and_message(pool: Pool, error: type[PartitaError]) -> None:
    failing, stub, _ = pool
    failing.error = error("noise 0.2 is above σ = 0.1; raise the limit\nor exclude layers")
    for call in CALLS:
        with pytest.raises(PartitaError) as caught:
            await call(stub)
        assert type(caught.value) is error
        assert str(caught.value) == str(failing.error)


async def test_what_nobody_expected_becomes_internal_and_names_the_call(pool: Pool) -> None:
    failing, stub, _ = pool
    failing.error = ZeroDivisionError("by zero")
    for call, name in zip(CALLS, ("HasBlobs", "GetBlob", "PutBlob"), strict=True):
        with pytest.raises(
            InternalError, match=rf"ModelPool/{name} failed unexpectedly \(ZeroDivisionError: by zero\)"
        ):
            await call(stub)


async def test_a_deadline_ends_the_handler(pool: Pool) -> None:
    failing, stub, _ = pool
    with pytest.raises(DeadlineExceededError, match="the pool did not answer in time"), typed_errors("the pool"):
        await stub.HasBlobs(model_pool_pb2.HasBlobsRequest(), timeout=0.2)
    async with asyncio.timeout(60):
        await failing.ended.wait()


async def test_cancelling_the_call_ends_the_handler(pool: Pool) -> None:
    failing, stub, _ = pool
    # Often: whether gRPC itself ends a call depends on when its reader is cancelled.
    for call in CALLS * 10:
        failing.waiting.clear()
        failing.ended.clear()
        task = asyncio.create_task(call(stub))
        async with asyncio.timeout(60):
            await failing.waiting.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await failing.ended.wait()


async def test_a_call_that_is_cancelled_elsewhere_is_told(pool: Pool) -> None:
    failing, stub, _ = pool
    failing.error = RequestCancelledError("request 7 has ended")
    with pytest.raises(RequestCancelledError, match="request 7 has ended"):
        await call_unary(stub)


async def test_a_message_above_the_limit_is_too_large(pool: Pool) -> None:
    _, stub, _ = pool
    with pytest.raises(TooLargeError, match="the pool refused a message"), typed_errors("the pool"):
        await stub.GetDocument(model_pool_pb2.GetDocumentRequest(), timeout=60)
    with pytest.raises(TooLargeError, match="the pool refused a message"), typed_errors("the pool"):
        await stub.PutDocument(model_pool_pb2.PutDocumentRequest(document="x" * (MESSAGE_LIMIT_BYTES + 1)), timeout=60)


async def test_a_service_that_is_not_there(pool: Pool) -> None:
    _, _, channel = pool
    stub = deployer_pb2_grpc.DeployerStub(channel)
    with pytest.raises(FailedPreconditionError, match="the Deployer does not offer"), typed_errors("the Deployer"):
        await stub.ListPlans(deployer_pb2.ListPlansRequest(), timeout=60)


async def test_a_server_that_is_not_there_is_named() -> None:
    async with Channels() as channels:
        stub = model_pool_pb2_grpc.ModelPoolStub(channels.to("127.0.0.1:1"))
        for call in CALLS:
            with pytest.raises(ServerUnavailableError, match="the pool cannot be reached"):
                await call(stub)
