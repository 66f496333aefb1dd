"""Inferencers and a FrontEnd on real gRPC servers at port 0, with a real pool and Registry."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

from core.deployment import ComponentRun, DeploymentVersion, RequestKey
from core.errors import InvalidArgumentError
from core.profiles import QuantizationSettings
from core.progress import no_progress
from core.tensors import Array
from frontend.front_end import FrontEnd
from inferencer.inferencer import Inferencer
from model_divider.divide import divide
from model_divider.quantize import calibrate
from model_pool.admission import admit
from partita.inference import infer
from partita.v1 import front_end_pb2, front_end_pb2_grpc, inferencer_pb2_grpc
from partita.v1.tensor_transport_pb2 import DESTINATION_FRONT_END, DESTINATION_INFERENCER
from services.clients.inferencer import InferencerClient
from services.clients.model_pool import ModelPoolClient
from services.front_end import FrontEndServicer, Inferencers
from services.inferencer import InferencerServicer
from services.model_pool import model_pool_service
from services.runtime.channels import Channels
from services.runtime.errors import typed_errors
from services.runtime.server import Binding, serving
from services.runtime.settings import Settings
from services.runtime.shaping import LinkShaper
from services.transport.arrivals import Sink
from services.transport.sender import TensorSender, Way
from tests.unit.models import random_inputs
from tests.unit.plans import plan_for

LIMIT_BYTES = 2**24


@dataclass
class DataPlane:
    """A deployed model, and the domain objects behind the servers, to look into."""

    channels: Channels
    version: DeploymentVersion
    model: onnx.ModelProto
    whole: bytes
    sender: TensorSender
    front_end: FrontEnd
    inferencers: dict[str, Inferencer]
    servers: dict[str, AsyncExitStack] = field(default_factory=dict)

    async def infer(
        self, inputs: Mapping[str, Array], seconds: float = 30, deployment: str = "app"
    ) -> dict[str, Array]:
        """Infer as a client does."""
        address = self.version.front_end_address
        outputs, _ = await infer(self.channels.to(address), address, deployment, inputs, seconds)
        return outputs

    async def run(self, server: str, key: RequestKey, seconds: float = 30) -> Sequence[ComponentRun]:
        """Have a server do its part in a request, as the FrontEnd does."""
        return await self.sender.run(server, self.version.addresses[server], key, seconds, False)

    async def responses(
        self, requests: Sequence[front_end_pb2.InferRequest], seconds: float = 30
    ) -> list[front_end_pb2.InferResponse]:
        """Send just these messages, as protobuf writes them."""
        stub = front_end_pb2_grpc.FrontEndStub(self.channels.to(self.version.front_end_address))
        with typed_errors("the FrontEnd", time.monotonic() + seconds):
            return [response async for response in stub.Infer(iter(requests), timeout=seconds)]

    @property
    def requests_under_way(self) -> int:
        """Requests that anything is held for."""
        return self.front_end.requests_under_way + sum(len(item.requests) for item in self.inferencers.values())


@asynccontextmanager
async def data_plane(
    model: onnx.ModelProto,
    servers: Sequence[str],
    directory: Path,
    quantized: Sequence[str] = (),
    retry_seconds: float = 0.5,
    request_limit: int = 8,
    queue_limit: int = 8,
    nearest: Way = Way.SOCKET,
    micro_batch: int = 1,
) -> AsyncIterator[DataPlane]:
    """``model`` spread over ``servers`` in equal runs of layers; the first server has the FrontEnd."""
    data = admit(model.SerializeToString(), {}).data
    admitted = onnx.load_model_from_string(data)
    count = len(admitted.graph.node)
    plan = plan_for(admitted, [servers[index * len(servers) // count] for index in range(count)], quantized)
    ranges = calibrate(admitted, quantized, [random_inputs(admitted, seed) for seed in range(4)])
    division, blobs = divide(data, "hash", plan, ranges, QuantizationSettings())
    settings = Settings(services=("model_pool",), data_directory=directory)
    async with AsyncExitStack() as stack:
        channels = await stack.enter_async_context(Channels())
        pool_address = await stack.enter_async_context(serving("127.0.0.1:0", [model_pool_service(settings)]))
        pool = ModelPoolClient(channels.to(pool_address))
        for blob in blobs.values():
            await pool.put_blob(blob)
        sender = await stack.enter_async_context(TensorSender(LinkShaper(()), nearest))
        front_end = FrontEnd(Inferencers(sender), request_limit, 30.0, queue_limit, retry_seconds)
        inferencers = {name: Inferencer(name, settings.runtime, pool, sender) for name in dict.fromkeys(servers)}
        addresses: dict[str, str] = {}
        running: dict[str, AsyncExitStack] = {}
        for name, inferencer in inferencers.items():

            @asynccontextmanager
            async def node(binding: Binding, inferencer: Inferencer = inferencer) -> AsyncIterator[None]:
                servicer = InferencerServicer(inferencer)
                receiver = binding.receiver(LIMIT_BYTES)
                receiver.sinks[DESTINATION_INFERENCER] = Sink(inferencer.expected, inferencer.receive)
                receiver.sinks[DESTINATION_FRONT_END] = Sink(front_end.expected, front_end.deliver)
                receiver.run = inferencer.run
                inferencer_pb2_grpc.add_InferencerServicer_to_server(servicer, binding.server)
                front_end_pb2_grpc.add_FrontEndServicer_to_server(
                    FrontEndServicer(front_end, LIMIT_BYTES), binding.server
                )
                yield
                inferencer.close()

            running[name] = await stack.enter_async_context(AsyncExitStack())
            addresses[name] = await running[name].enter_async_context(serving("127.0.0.1:0", [node]))
        front_end_address = addresses[servers[0]]
        version = DeploymentVersion(
            "app", 1, "plan", division, servers[0], addresses, front_end_address, micro_batch=micro_batch
        )
        for name in inferencers:
            await InferencerClient(channels.to(addresses[name]), name).prepare(version, no_progress)
        front_end.activate(version)
        whole = blobs[division.whole_blob]
        yield DataPlane(channels, version, admitted, whole, sender, front_end, inferencers, running)


def largest_difference(left: Mapping[str, Array], right: Mapping[str, Array]) -> float:
    """Largest absolute difference over all outputs, relative to each output's range."""
    if left.keys() != right.keys():
        raise InvalidArgumentError(f"outputs {sorted(left)} and {sorted(right)}")
    return max(
        float(
            np.abs(left[name].astype(np.float64) - right[name].astype(np.float64)).max()
            / max(np.ptp(right[name]), 1e-12)
        )
        for name in right
    )
