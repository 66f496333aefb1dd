"""Inferencers and a FrontEnd wired to each other in one process: the real domain objects without gRPC."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence

import numpy as np
import onnx

from core.buffers import Bytes
from core.deployment import ComponentRun, DeploymentVersion, RequestKey
from core.profiles import QuantizationSettings, Range, RuntimeSettings
from core.progress import no_progress
from core.tensors import Array, TensorSpec
from frontend.attempts import Answer
from frontend.front_end import FrontEnd
from inferencer.inferencer import Inferencer
from model_divider.divide import divide
from model_pool.admission import admit
from tests.unit.plans import plan_for


class Wires:
    """Carries calls and tensors between the servers of one process; lets a test hold a server's tensors back."""

    def __init__(self, blobs: dict[str, bytes]) -> None:
        self.blobs = blobs
        self.inferencers: dict[str, Inferencer] = {}
        self.front_end: FrontEnd | None = None
        self.sent: list[tuple[str, str]] = []
        self.compressed: set[tuple[str, str]] = set()
        self.open: dict[str, asyncio.Event] = {}
        self.broken: dict[str, Exception] = {}
        # Servers that memory is shared with, what was lent of it, and the tensors that were made there.
        self.shared: set[str] = set()
        self.lent: list[Bytes] = []
        self.made_there: set[tuple[str, str]] = set()

    async def get_blob(self, sha256: str) -> bytes:
        return self.blobs[sha256]

    async def _pass(self, target: str, name: str, array: Array, compress: bool) -> TensorSpec:
        if target in self.open:
            await self.open[target].wait()
        if target in self.broken:
            raise self.broken[target]
        self.sent.append((target, name))
        if compress:
            self.compressed.add((target, name))
        if any(np.may_share_memory(array, memory) for memory in self.lent):
            self.made_there.add((target, name))
        return TensorSpec(name, array.dtype.name, array.shape)

    def memory_for(self, server: str, address: str, byte_count: int) -> Bytes | None:
        if server not in self.shared:
            return None
        self.lent.append(np.empty(byte_count, np.uint8))
        return self.lent[-1]

    async def to_inferencer(
        self, server: str, address: str, key: RequestKey, name: str, array: Array, compress: bool
    ) -> None:
        spec = await self._pass(server, name, array, compress)
        self.inferencers[server].expected(key, spec)
        await received(self.inferencers[server], key, name, array)

    async def to_front_end(
        self, server: str, address: str, key: RequestKey, name: str, array: Array, compress: bool
    ) -> None:
        assert self.front_end is not None
        self.front_end.expected(key, await self._pass("front end", name, array, compress))
        self.front_end.deliver(key, name, array)

    async def run(
        self, server: str, address: str, key: RequestKey, seconds: float, alone: bool
    ) -> Sequence[ComponentRun]:
        return await self.inferencers[server].run(key, alone)


def infer(
    front_end: FrontEnd,
    inputs: Mapping[str, Array],
    seconds: float | None = None,
    request_id: str = "",
    alone: bool = False,
) -> Coroutine[None, None, Answer]:
    """One request whose inputs are at hand."""

    async def read() -> Mapping[str, Array]:
        return inputs

    return front_end.infer("app", read, seconds, request_id, alone)


async def deployed(
    model: onnx.ModelProto,
    servers: Sequence[str],
    quantized: Sequence[str] = (),
    ranges: dict[str, Range] | None = None,
    request_limit: int = 8,
    request_timeout_seconds: float = 30.0,
    queue_limit: int = 8,
    retry_seconds: float = 0.0,
    micro_batch: int = 1,
) -> tuple[FrontEnd, DeploymentVersion, Wires]:
    """A model spread over ``servers`` in equal runs of layers, prepared everywhere and active."""
    data = admit(model.SerializeToString(), {}).data
    admitted = onnx.load_model_from_string(data)
    count = len(admitted.graph.node)
    plan = plan_for(admitted, [servers[index * len(servers) // count] for index in range(count)], quantized)
    division, blobs = divide(data, "hash", plan, ranges or {}, QuantizationSettings())
    wires = Wires(blobs)
    names = list(dict.fromkeys(component.server for component in division.components))
    addresses = {name: name for name in names}
    version = DeploymentVersion("app", 1, "plan", division, "device", addresses, "device", micro_batch=micro_batch)
    for name in names:
        wires.inferencers[name] = Inferencer(name, RuntimeSettings(), wires, wires)
        await wires.inferencers[name].prepare(version, no_progress)
    wires.front_end = FrontEnd(wires, request_limit, request_timeout_seconds, queue_limit, retry_seconds)
    wires.front_end.activate(version)
    return wires.front_end, version, wires


async def received(inferencer: Inferencer, key: RequestKey, name: str, array: Array) -> None:
    """Give a tensor to an Inferencer, and wait until it has taken it."""
    taken = inferencer.receive(key, name, array)
    if taken is not None:
        await taken
