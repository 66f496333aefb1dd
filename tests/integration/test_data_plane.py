"""Tensors over real gRPC: answers, int8 on the wire, refusals, broken servers and cancellation."""

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from core.deployment import RequestKey
from core.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    InvalidTensorError,
    NotFoundError,
    RequestCancelledError,
    ServerUnavailableError,
    TooLargeError,
)
from partita.v1 import front_end_pb2, inferencer_pb2, inferencer_pb2_grpc, types_pb2
from services.clients.inferencer import InferencerClient
from services.runtime.errors import typed_errors
from services.runtime.streams import from_spec, spec_of, tensor_parts
from tests.integration.data_plane import DataPlane, data_plane, largest_difference
from tests.unit.models import chain_model, random_inputs, residual_model
from tests.unit.plans import run

SERVERS = ("device", "edge", "cloud")


async def nothing_held(plane: DataPlane) -> None:
    async with asyncio.timeout(10):
        while plane.requests_under_way:
            await asyncio.sleep(0.01)


async def test_three_servers_answer_as_the_whole_model_does(tmp_path: Path) -> None:
    async with data_plane(residual_model(), SERVERS, tmp_path) as plane:
        inputs = [random_inputs(plane.model, seed) for seed in range(5)]
        answers = await asyncio.gather(*(plane.infer(item) for item in inputs))
        for item, answer in zip(inputs, answers, strict=True):
            assert largest_difference(answer, run(plane.whole, item)) < 1e-5
        await nothing_held(plane)


async def test_int8_stays_int8_on_the_wire(tmp_path: Path) -> None:
    layout = ["device"] * 3 + ["edge"] * 5
    quantized = ["/conv_0", "/conv_2", "/conv_4"]
    async with data_plane(chain_model(), layout, tmp_path, quantized) as plane:
        edge = next(item for item in plane.version.division.components if item.server == "edge")
        assert [spec.dtype for spec in edge.inputs] == ["uint8"]
        for seed in range(3):
            inputs = random_inputs(plane.model, seed)
            answer = await plane.infer(inputs)
            # One rounding step of int8 may differ where the cut breaks a fusion; the noise itself is far larger.
            assert largest_difference(answer, run(plane.whole, inputs)) < 0.02
            assert largest_difference(answer, run(plane.model.SerializeToString(), inputs)) > 1e-4
        await nothing_held(plane)


async def test_bad_requests_get_typed_errors_and_change_nothing(tmp_path: Path) -> None:
    async with data_plane(chain_model(), ("device", "edge"), tmp_path) as plane:
        inputs = random_inputs(plane.model)
        name, array = next(iter(inputs.items()))
        header = front_end_pb2.InferRequest(header=front_end_pb2.InferHeader(deployment="app"))
        tensor = [front_end_pb2.InferRequest(tensor=part) for part in tensor_parts(inputs)]
        out_of_order = types_pb2.TensorPart(chunk=types_pb2.Chunk(offset=4, data=b"1234"))
        too_much = types_pb2.TensorPart(chunk=types_pb2.Chunk(offset=0, data=b"1" * (array.nbytes + 1)))
        for requests, error, message in (
            ([], InvalidArgumentError, "header"),
            (tensor, InvalidArgumentError, "header"),
            ([header], InvalidTensorError, name),
            ([header, tensor[1]], InvalidArgumentError, "header"),
            ([header, tensor[0]], InvalidArgumentError, "ended after 0"),
            ([header, tensor[0], front_end_pb2.InferRequest(tensor=out_of_order)], InvalidArgumentError, "offset 4"),
            ([header, tensor[0], front_end_pb2.InferRequest(tensor=too_much)], TooLargeError, "announced"),
        ):
            with pytest.raises(error, match=message):
                await plane.answer(requests)
        for bad in ({"other": array}, {name: array.astype(np.float16)}, {name: array[..., :2]}):
            with pytest.raises(InvalidTensorError, match=r"input|required"):
                await plane.infer(bad)
        with pytest.raises(NotFoundError, match="active: app"):
            await plane.infer(inputs, deployment="nothing")
        await nothing_held(plane)
        assert largest_difference(await plane.infer(inputs), run(plane.whole, inputs)) < 1e-5


async def test_transfers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    async with data_plane(chain_model(), ("device", "edge"), tmp_path) as plane:
        spec = next(item for item in plane.version.division.components if item.server == "edge").inputs[0]
        stub = inferencer_pb2_grpc.InferencerStub(plane.channels.to(plane.version.addresses["edge"]))

        async def transfer(tensor: types_pb2.TensorSpec, chunk: types_pb2.Chunk, version: int = 1) -> None:
            head = inferencer_pb2.TransferHeader(deployment="app", version=version, request_id="r", tensor=tensor)
            parts = [inferencer_pb2.TransferRequest(header=head), inferencer_pb2.TransferRequest(chunk=chunk)]
            with typed_errors("edge"):
                await stub.Transfer(iter(parts), timeout=10)

        good, chunk = from_spec(spec), types_pb2.Chunk(offset=0, data=bytes(spec.byte_count))
        other = from_spec(spec_of("other", np.zeros(1, np.float32)))
        huge = types_pb2.TensorSpec(name=spec.name, dtype="float32", shape=[2**20, 2**20])
        for tensor in (other, huge, types_pb2.TensorSpec(name=spec.name, dtype="complex64", shape=[1])):
            with pytest.raises(InvalidTensorError):
                await transfer(tensor, chunk)
        with pytest.raises(InvalidArgumentError, match="offset 8"):
            await transfer(good, types_pb2.Chunk(offset=8, data=b"1"))
        with pytest.raises(NotFoundError, match="version 9"):
            await transfer(good, chunk, version=9)
        await nothing_held(plane)


async def test_a_stopped_server_is_named(tmp_path: Path) -> None:
    async with data_plane(chain_model(), ("device", "edge"), tmp_path) as plane:
        inputs = random_inputs(plane.model)
        await plane.infer(inputs)
        await plane.servers["edge"].aclose()
        with pytest.raises(ServerUnavailableError, match="edge"):
            await plane.infer(inputs)
        await nothing_held(plane)


async def test_deadline_passes_through(tmp_path: Path) -> None:
    async with data_plane(chain_model(), ("device", "edge"), tmp_path) as plane:
        with pytest.raises(DeadlineExceededError):
            await plane.infer(random_inputs(plane.model), seconds=1e-3)
        await nothing_held(plane)


async def test_cancelling_infer_frees_every_server(tmp_path: Path) -> None:
    async with data_plane(chain_model(), ("device", "edge"), tmp_path) as plane:
        held = threading.Event()
        plane.inferencers["edge"]._executor.submit(held.wait)
        request = asyncio.create_task(plane.infer(random_inputs(plane.model)))
        while not plane.inferencers["edge"].requests.held_bytes:
            await asyncio.sleep(0.01)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        await nothing_held(plane)
        held.set()


async def test_cancelling_run_frees_the_server(tmp_path: Path) -> None:
    async with data_plane(chain_model(), ("device", "edge"), tmp_path) as plane:
        client = InferencerClient(plane.channels.to(plane.version.addresses["edge"]), "edge")
        waiting = asyncio.create_task(anext(client.run(RequestKey("app", 1, "r"))))
        while not len(plane.inferencers["edge"].requests):
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await nothing_held(plane)
        with pytest.raises(RequestCancelledError, match="begun before"):
            await anext(client.run(RequestKey("app", 1, "r")))


async def test_cancelling_a_transfer_leaves_no_trace(tmp_path: Path) -> None:
    async with data_plane(chain_model(), ("device", "edge"), tmp_path) as plane:
        component = next(item for item in plane.version.division.components if item.server == "edge")
        stub = inferencer_pb2_grpc.InferencerStub(plane.channels.to(plane.version.addresses["edge"]))
        head = inferencer_pb2.TransferHeader(
            deployment="app", version=1, request_id="r", tensor=from_spec(component.inputs[0])
        )
        call = stub.Transfer(iter([inferencer_pb2.TransferRequest(header=head)]), timeout=10)
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        inputs = random_inputs(plane.model)
        assert largest_difference(await plane.infer(inputs), run(plane.whole, inputs)) < 1e-5
        await nothing_held(plane)
