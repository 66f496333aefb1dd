"""One request to a FrontEnd: inputs there, answer and report back."""

import time
from collections.abc import Mapping

import grpc

from core.errors import InternalError
from core.tensors import Array
from partita.results import InferReport, to_infer_report
from partita.v1 import front_end_pb2, front_end_pb2_grpc
from services.runtime.encoding import tensor_messages
from services.runtime.errors import typed_errors
from services.runtime.streams import TensorsAssembly

ANSWER_LIMIT_BYTES = 2**31
"""Largest single output that is accepted."""

_INFER = f"/{front_end_pb2.DESCRIPTOR.services_by_name['FrontEnd'].full_name}/Infer"

REPORT_SECONDS = 10.0
"""Deadline of asking what became of a request."""


async def infer(
    channel: grpc.aio.Channel,
    address: str,
    deployment: str,
    inputs: Mapping[str, Array],
    timeout_seconds: float,
    request_id: str = "",
    alone: bool = False,
) -> tuple[dict[str, Array], InferReport]:
    """Send ``inputs`` and wait for the outputs, by name, and the report.

    If ``alone``, they are not computed together with those of other requests.

    Raises:
        PartitaError: as the FrontEnd raised it; DeadlineExceededError after ``timeout_seconds``.
    """
    # The stub's own would copy inputs five times.
    stream: grpc.aio.StreamStreamMultiCallable[bytes, front_end_pb2.InferResponse] = channel.stream_stream(
        _INFER, response_deserializer=front_end_pb2.InferResponse.FromString
    )
    header = front_end_pb2.InferHeader(deployment=deployment, request_id=request_id, alone=alone)
    requests = tensor_messages(
        front_end_pb2.InferRequest.TENSOR_FIELD_NUMBER,
        inputs,
        first=front_end_pb2.InferRequest(header=header).SerializeToString(),
    )
    assembly = TensorsAssembly(ANSWER_LIMIT_BYTES)
    outputs: dict[str, Array] = {}
    report: InferReport | None = None
    with typed_errors(f"the FrontEnd at {address}", time.monotonic() + timeout_seconds):
        call = stream(requests, timeout=timeout_seconds)
        try:
            async for response in call:
                if response.HasField("tensor") and (done := assembly.add(response.tensor)) is not None:
                    outputs[done[0]] = done[1]
                if response.HasField("report"):
                    report = to_infer_report(response.report)
        finally:
            call.cancel()
    assembly.finish()
    if report is None:
        raise InternalError(f"the FrontEnd at {address} ended the answer without a report; see its log")
    return outputs, report


async def fetch_report(channel: grpc.aio.Channel, address: str, request_id: str) -> InferReport:
    """Ask a FrontEnd what became of a request.

    Raises:
        NotFoundError: it does not remember it.
    """
    stub = front_end_pb2_grpc.FrontEndStub(channel)
    with typed_errors(f"the FrontEnd at {address}"):
        response = await stub.GetReport(front_end_pb2.GetReportRequest(request_id=request_id), timeout=REPORT_SECONDS)
    return to_infer_report(response.report)
