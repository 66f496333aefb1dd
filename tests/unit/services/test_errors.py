"""What a failed call becomes at the client."""

import asyncio
import time

import pytest

from core.errors import DeadlineExceededError, RequestCancelledError
from services.runtime.errors import typed_errors


async def test_a_call_that_grpc_cancels_is_a_typed_error() -> None:
    with pytest.raises(RequestCancelledError, match="the edge"), typed_errors("the edge"):
        raise asyncio.CancelledError
    with pytest.raises(DeadlineExceededError, match="the edge"), typed_errors("the edge", time.monotonic() - 1):
        raise asyncio.CancelledError


async def test_cancelling_the_caller_stays_a_cancellation() -> None:
    async def call() -> None:
        with typed_errors("the edge"):
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
