"""The FrontEnd over gRPC."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

from core.buffers import Bytes
from core.deployment import ComponentRun, DeploymentVersion, RequestKey
from core.documents import loads
from core.tensors import Array
from frontend.front_end import FrontEnd
from frontend.history import Report
from partita.v1 import front_end_pb2, front_end_pb2_grpc
from partita.v1.tensor_transport_pb2 import DESTINATION_FRONT_END
from services.convert import from_component_run
from services.infer_stream import begin, read_inputs
from services.membership import membership
from services.open_inference import attach_open_inference
from services.runtime.channels import Channels
from services.runtime.encoding import tensor_messages
from services.runtime.handlers import Context
from services.runtime.metrics import REQUESTS, REQUESTS_UNDER_WAY, REQUESTS_WAITING, watch
from services.runtime.observed import observer
from services.runtime.server import Binding, Service
from services.runtime.settings import Settings
from services.runtime.tracing import outgoing, request_span
from services.transport.arrivals import Sink
from services.transport.sender import TensorSender


class FrontEndServicer(front_end_pb2_grpc.FrontEndServicer):
    """Converts and calls."""

    def __init__(self, front_end: FrontEnd, tensor_limit_bytes: int) -> None:
        self._front_end = front_end
        self._tensor_limit_bytes = tensor_limit_bytes

    async def Infer(  # type: ignore[override]
        self, request_iterator: AsyncIterator[front_end_pb2.InferRequest], context: Context
    ) -> AsyncGenerator[bytes]:
        """Answer with messages that are ``InferResponse`` already as bytes: one copy of the outputs instead of five."""
        header, parts = await begin(aiter(request_iterator))
        version = await self._front_end.known(header.deployment, context.time_remaining())

        async def read() -> dict[str, Array]:
            memory = partial(self._front_end.memory_for, version)
            return await read_inputs(parts, version, self._tensor_limit_bytes, memory)

        with request_span(context, version.deployment) as span:
            answer = await self._front_end.infer(
                version.deployment, read, context.time_remaining(), header.request_id, header.alone
            )
            span.set_attribute("partita.request", answer.key.request_id)
        report = self._front_end.history.find(answer.key.request_id)
        REQUESTS.labels(version.deployment).observe(answer.seconds)
        # The inputs of a call that joined another were not needed, but its caller must have sent them.
        async for _ in request_iterator:
            pass
        for message in tensor_messages(
            front_end_pb2.InferResponse.TENSOR_FIELD_NUMBER,
            answer.outputs,
            last=front_end_pb2.InferResponse(report=_report(report)).SerializeToString(),
        ):
            yield message

    async def GetReport(
        self, request: front_end_pb2.GetReportRequest, context: Context
    ) -> front_end_pb2.GetReportResponse:
        return front_end_pb2.GetReportResponse(report=_report(self._front_end.history.find(request.request_id)))

    async def Activate(
        self, request: front_end_pb2.ActivateRequest, context: Context
    ) -> front_end_pb2.ActivateResponse:
        self._front_end.activate(loads(request.version, DeploymentVersion))
        return front_end_pb2.ActivateResponse()

    async def Deactivate(
        self, request: front_end_pb2.DeactivateRequest, context: Context
    ) -> front_end_pb2.DeactivateResponse:
        self._front_end.deactivate(request.deployment)
        return front_end_pb2.DeactivateResponse()

    async def Drain(self, request: front_end_pb2.DrainRequest, context: Context) -> front_end_pb2.DrainResponse:
        await self._front_end.drain(request.deployment, request.version)
        return front_end_pb2.DrainResponse()


def _report(report: Report) -> front_end_pb2.InferReport:
    return front_end_pb2.InferReport(
        request_id=report.request_id,
        version=report.version,
        seconds=report.seconds,
        runs=map(from_component_run, report.runs),
        deployment=report.deployment,
        waited_seconds=report.waited_seconds,
        error=report.error,
    )


class LocalInferencer(Protocol):
    """An Inferencer in this very process."""

    async def run(self, key: RequestKey, alone: bool, ran: Callable[[ComponentRun], None]) -> Sequence[ComponentRun]:
        """Do its server's part in a request; ``ran`` is told of each component that has run."""


class Inferencers:
    """The servers that take part in requests, as the FrontEnd reaches them.

    Args:
        sender: to other processes.
        local: server → its Inferencer, where that is in this very process and is called at once.
    """

    def __init__(self, sender: TensorSender, local: Mapping[str, LocalInferencer] | None = None) -> None:
        self._sender = sender
        self._local = local or {}

    async def run(
        self, server: str, address: str, key: RequestKey, seconds: float, alone: bool
    ) -> Sequence[ComponentRun]:
        """Have a server do its part in a request, for at most ``seconds``."""
        if server in self._local:
            return await self._local[server].run(key, alone, observer(key, outgoing()))
        return await self._sender.run(server, address, key, seconds, alone)

    def memory_for(self, server: str, address: str, byte_count: int) -> Bytes | None:
        """Memory from which an input is sent there without a copy, where there is such."""
        return self._sender.memory_for(server, address, byte_count)

    async def to_inferencer(
        self, server: str, address: str, key: RequestKey, name: str, array: Array, compress: bool
    ) -> None:
        """Send a model input."""
        await self._sender.to_inferencer(server, address, key, name, array, compress)


def front_end_service(settings: Settings) -> Service:
    """The FrontEnd of ``settings.server``."""

    @asynccontextmanager
    async def service(binding: Binding) -> AsyncIterator[None]:
        async with Channels() as channels:
            local = {settings.server: binding.local["inferencer"]} if "inferencer" in binding.local else {}
            inferencers = Inferencers(binding.sender(settings.links), local)
            front_end = FrontEnd(
                inferencers,
                settings.request_limit,
                settings.request_timeout_seconds,
                settings.queue_limit,
                settings.retry_seconds,
            )
            watch(REQUESTS_WAITING, "front_end", settings.server, lambda: front_end.requests_waiting)
            watch(REQUESTS_UNDER_WAY, "front_end", settings.server, lambda: front_end.requests_under_way)
            servicer = FrontEndServicer(front_end, settings.tensor_limit_bytes)
            front_end_pb2_grpc.add_FrontEndServicer_to_server(servicer, binding.server)
            sinks = binding.receiver(settings.tensor_limit_bytes).sinks
            sinks[DESTINATION_FRONT_END] = Sink(front_end.expected, front_end.deliver)
            binding.names.append(front_end_pb2.DESCRIPTOR.services_by_name["FrontEnd"].full_name)
            attach_open_inference(front_end, binding)
            async with membership(settings, "front_end", binding, channels):
                yield

    return service
