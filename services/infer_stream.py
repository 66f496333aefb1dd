"""An Infer call's stream put together: header and inputs."""

from collections.abc import AsyncIterator

from core.buffers import Memory
from core.deployment import DeploymentVersion
from core.errors import InvalidArgumentError
from core.tensors import Array, TensorSpec, check_spec
from partita.v1 import front_end_pb2, types_pb2
from services.runtime.streams import TensorsAssembly


async def begin(
    requests: AsyncIterator[front_end_pb2.InferRequest],
) -> tuple[front_end_pb2.InferHeader, AsyncIterator[types_pb2.TensorPart]]:
    """Read the header; the inputs, which may begin in its message, are still to be read.

    Raises:
        InvalidArgumentError: there is no header.
    """
    first = await anext(requests, None)
    if first is None or not first.HasField("header"):
        raise InvalidArgumentError("an Infer call begins with a header that names the deployment")
    # A copy: a field keeps its whole message in memory, and with it what came of the first input.
    header = front_end_pb2.InferHeader()
    header.CopyFrom(first.header)
    return header, _parts(first, requests)


async def _parts(
    first: front_end_pb2.InferRequest, requests: AsyncIterator[front_end_pb2.InferRequest]
) -> AsyncIterator[types_pb2.TensorPart]:
    if first.HasField("tensor"):
        yield first.tensor
    async for request in requests:
        if request.HasField("header"):
            raise InvalidArgumentError("an Infer call has one header, in its first message; make a call per request")
        yield request.tensor


async def read_inputs(
    parts: AsyncIterator[types_pb2.TensorPart], version: DeploymentVersion, limit_bytes: int, memory: Memory
) -> dict[str, Array]:
    """Put inputs together in ``memory``, model input name → array, to the stream's end.

    Raises:
        InvalidArgumentError: parts come in the wrong order, or some are missing.
        InvalidTensorError: an input that the model does not have, or in another form.
        TooLargeError: an input is above the limit, or more bytes come than were announced.
    """

    def check(spec: TensorSpec) -> None:
        check_spec(version.division.inputs, spec)

    tensors = TensorsAssembly(limit_bytes, check, memory)
    inputs: dict[str, Array] = {}
    async for part in parts:
        done = tensors.add(part)
        if done is not None:
            inputs[done[0]] = done[1]
    tensors.finish()
    return inputs
