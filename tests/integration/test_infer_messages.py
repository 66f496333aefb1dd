"""How many messages an Infer call takes, and that both ends read parts however they are spread over messages."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np

from partita.inference import infer
from partita.v1 import front_end_pb2, types_pb2
from services.runtime.streams import TensorsAssembly, tensor_parts
from tests.integration.data_plane import data_plane
from tests.unit.models import chain_model, random_inputs, residual_model
from tests.unit.plans import run
from tests.unit.tensor_parts import parts_apart

Request = front_end_pb2.InferRequest
Response = front_end_pb2.InferResponse


async def test_a_client_sends_one_message_and_takes_any_number() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    requests: list[front_end_pb2.InferRequest] = []

    class Echo(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            async def answer(
                request_iterator: AsyncIterator[front_end_pb2.InferRequest], context: object
            ) -> AsyncIterator[front_end_pb2.InferResponse]:
                requests.extend([request async for request in request_iterator])
                for part in parts_apart({"y": array, "z": array[:0]}):
                    yield Response(tensor=part)
                yield Response(report=front_end_pb2.InferReport(request_id="r", version=3))

            return grpc.stream_stream_rpc_method_handler(answer, Request.FromString, Response.SerializeToString)

    server = grpc.aio.server(handlers=[Echo()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        outputs, report = await infer(channel, "here", "app", {"x": array}, 60, "frame-17")
    await server.stop(None)

    (part,) = tensor_parts({"x": array})
    assert requests == [Request(header=front_end_pb2.InferHeader(deployment="app", request_id="frame-17"), tensor=part)]
    assert (report.request_id, report.version) == ("r", 3)
    assert outputs.keys() == {"y", "z"}
    np.testing.assert_array_equal(outputs["y"], array)
    assert outputs["z"].shape == (0, 4)


async def test_a_front_end_sends_a_message_per_output_and_takes_any_number(tmp_path: Path) -> None:
    async with data_plane(residual_model(), ("device", "edge"), tmp_path) as plane:
        inputs = random_inputs(plane.model)
        whole = run(plane.whole, inputs)
        header = front_end_pb2.InferHeader(deployment="app")
        (part,) = tensor_parts(inputs)
        (name, array) = next(iter(inputs.items()))
        spec = types_pb2.TensorSpec(name=name, dtype=array.dtype.name, shape=array.shape)
        data = array.tobytes()
        halves = [
            types_pb2.TensorPart(header=spec, chunk=types_pb2.Chunk(data=data[:100])),
            types_pb2.TensorPart(chunk=types_pb2.Chunk(offset=100, data=data[100:])),
        ]
        for requests in (
            [Request(header=header, tensor=part)],
            [Request(header=header), Request(tensor=part)],
            [Request(header=header, tensor=halves[0]), Request(tensor=halves[1])],
            [Request(header=header), *(Request(tensor=item) for item in parts_apart(inputs))],
        ):
            responses = await plane.responses(requests)
            assert [response.HasField("report") for response in responses] == [False, True]
            tensors = TensorsAssembly(2**24)
            outputs = dict(filter(None, (tensors.add(response.tensor) for response in responses)))
            assert outputs.keys() == whole.keys()
            for name, expected in whole.items():
                np.testing.assert_allclose(outputs[name], expected, rtol=1e-4, atol=1e-5)


async def test_one_input_and_one_output_are_one_message_each_way(tmp_path: Path) -> None:
    async with data_plane(chain_model(), ("device",), tmp_path) as plane:
        (part,) = tensor_parts(random_inputs(plane.model))
        header = front_end_pb2.InferHeader(deployment="app")
        (response,) = await plane.responses([Request(header=header, tensor=part)])
        assert response.HasField("report")
        assert response.tensor.HasField("header")
        assert response.tensor.HasField("chunk")
