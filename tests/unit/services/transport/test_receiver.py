"""The receiving end's call, driven without a server."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import numpy as np
import pytest

from core.deployment import RequestKey
from core.tensors import Array
from partita.v1.tensor_transport_pb2 import DESTINATION_INFERENCER, CarryHeader, TensorAnnouncement
from partita.v1.types_pb2 import TensorSpec
from services.runtime.handlers import Context
from services.transport.arrivals import Sink
from services.transport.frames import Frame
from services.transport.receiver import TensorReceiver


@pytest.mark.parametrize("turns", range(8))
async def test_a_call_that_is_cancelled_while_it_ends_leaves_nothing_behind(turns: int) -> None:
    waiting: set[str] = set()
    ending = asyncio.Event()

    async def receive(key: RequestKey, name: str, array: Array) -> None:
        waiting.add(name)
        try:
            await asyncio.Event().wait()
        finally:
            waiting.discard(name)

    async def requests() -> AsyncIterator[Frame]:
        spec = TensorSpec(name="one", dtype="uint8", shape=[10])
        announcement = TensorAnnouncement(destination=DESTINATION_INFERENCER, tensor=spec)
        header = CarryHeader(tensor=1, announcement=announcement).SerializeToString()
        yield Frame(header, memoryview(np.zeros(10, np.uint8)))
        await ending.wait()

    receiver = TensorReceiver(100, asyncio.Event())
    receiver.sinks[DESTINATION_INFERENCER] = Sink(lambda key, spec: None, receive)

    async def call() -> None:
        async for _ in receiver.carry(requests(), cast(Context, None)):
            pass

    task = asyncio.create_task(call())
    while not waiting:
        await asyncio.sleep(0)
    ending.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not waiting
