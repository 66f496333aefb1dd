"""What a failed call becomes at the client."""

import asyncio
import time

import grpc
import pytest

from core.errors import DeadlineExceededError, InternalError, RequestCancelledError, ServerUnavailableError
from services.runtime.errors import typed_errors


async def test_a_call_that_grpc_cancels_is_a_typed_error() -> None:
    with pytest.raises(RequestCancelledError, match="the edge"), typed_errors("the edge"):
        raise asyncio.CancelledError
    with pytest.raises(DeadlineExceededError, match="the edge"), typed_errors("the edge", time.monotonic() - 1):
        raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("details", "error"), [("Internal error from Core", ServerUnavailableError), ("a fault", InternalError)]
)
def test_a_connection_that_breaks_while_writing_is_no_fault_of_ours(details: str, error: type[Exception]) -> None:
    nothing = grpc.aio.Metadata()
    with pytest.raises(error, match="the edge"), typed_errors("the edge"):
        raise grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, nothing, nothing, details=details)


async def test_cancelling_the_caller_stays_a_cancellation() -> None:
    async def call() -> None:
        with typed_errors("the edge"):
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
