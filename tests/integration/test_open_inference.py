"""The Open Inference Protocol: Triton's own client against a FrontEnd, and what is refused."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import pytest

from core.errors import InvalidTensorError
from core.tensors import Array
from partita.v1 import open_inference_pb2, open_inference_pb2_grpc
from services.open_inference import attach_open_inference
from services.runtime.errors import typed_errors
from services.runtime.server import Binding, serving
from tests.integration.data_plane import DataPlane, data_plane, largest_difference
from tests.unit.models import Builder, random_inputs, residual_model
from tests.unit.plans import run


@asynccontextmanager
async def protocol(plane: DataPlane) -> AsyncIterator[str]:
    """Where a FrontEnd speaks the protocol."""

    @asynccontextmanager
    async def service(binding: Binding) -> AsyncIterator[None]:
        attach_open_inference(plane.front_end, binding)
        yield

    async with serving("127.0.0.1:0", [service]) as address:
        yield address


async def triton_program(
    address: str, model: str, array: Array, directory: Path
) -> tuple[dict[str, Any], dict[str, Array]]:
    """What the program saw, and the outputs; in a process of its own, as its messages have the names of ours."""
    np.save(directory / "input.npy", array)
    program = Path(__file__).parent / "tritonclient_program.py"
    arguments = (program, address, model, directory / "input.npy", directory / "outputs.npz")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *map(str, arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    seen, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    with np.load(directory / "outputs.npz") as outputs:
        return json.loads(seen), dict(outputs)


async def test_a_program_for_triton_runs_unchanged(tmp_path: Path) -> None:
    async with data_plane(residual_model(), ("device", "edge"), tmp_path) as plane, protocol(plane) as address:
        inputs = random_inputs(plane.model)
        seen, outputs = await triton_program(address, "app", inputs["images"], tmp_path)
        assert largest_difference(outputs, run(plane.whole, inputs)) < 1e-5
    assert seen["live"]
    assert seen["ready"]
    assert seen["model_ready"] == [True, False, False]
    assert seen["server"]["name"] == "partita"
    assert seen["metadata"]["versions"] == ["1"]
    assert seen["metadata"]["inputs"] == [{"name": "images", "datatype": "FP32", "shape": ["1", "3", "16", "16"]}]
    assert [output["name"] for output in seen["metadata"]["outputs"]] == ["mask", "scores"]
    assert seen["answer"] == {"id": "7", "version": "1"}
    assert seen["one"] == ["scores"]
    (nothing, wrong_version) = seen["refusals"]
    assert nothing[0] == "StatusCode.NOT_FOUND"
    assert "active: app" in nothing[1]
    assert wrong_version[0] == "StatusCode.NOT_FOUND"
    assert "version 1 is" in wrong_version[1]


async def test_inputs_of_many_megabytes_pass_in_one_message(tmp_path: Path) -> None:
    async with data_plane(doubling(1, 3, 1024, 1024), ("device",), tmp_path) as plane, protocol(plane) as address:
        array = np.random.default_rng(0).random((1, 3, 1024, 1024), np.float32)
        async with grpc.aio.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)]) as channel:
            stub = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
            tensor = open_inference_pb2.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=array.shape)
            request = open_inference_pb2.ModelInferRequest(
                model_name="app", inputs=[tensor], raw_input_contents=[array.tobytes()]
            )
            answer = await stub.ModelInfer(request, timeout=60)
    (output,) = answer.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("y", "FP32", [1, 3, 1024, 1024])
    assert answer.raw_output_contents[0] == (array + array).tobytes()


async def test_typed_contents_are_taken_and_wrong_inputs_refused(tmp_path: Path) -> None:
    async with (
        data_plane(doubling(1, 4), ("device",), tmp_path) as plane,
        protocol(plane) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
        contents = open_inference_pb2.InferTensorContents(fp32_contents=[1, 2, 3, 4])

        def request(outputs: tuple[str, ...] = (), **changed: Any) -> open_inference_pb2.ModelInferRequest:
            fields = {"name": "x", "datatype": "FP32", "shape": [1, 4], "contents": contents, **changed}
            return open_inference_pb2.ModelInferRequest(
                model_name="app",
                inputs=[open_inference_pb2.ModelInferRequest.InferInputTensor(**fields)],
                outputs=[
                    open_inference_pb2.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in outputs
                ],
            )

        answer = await stub.ModelInfer(request(), timeout=60)
        assert np.frombuffer(answer.raw_output_contents[0], np.float32).tolist() == [2, 4, 6, 8]
        for wrong in (request(name="z"), request(shape=[4, 1]), request(shape=[1, 5]), request(("z",))):
            with pytest.raises(InvalidTensorError), typed_errors("the FrontEnd"):
                await stub.ModelInfer(wrong, timeout=60)
        assert plane.requests_under_way == 0


def doubling(*shape: int) -> onnx.ModelProto:
    """A model of one layer: y = x + x."""
    net = Builder()
    net.node("Add", "x", "x", result="y")
    return net.model({"x": list(shape)}, {"y": list(shape)})
