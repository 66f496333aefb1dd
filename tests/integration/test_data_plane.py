"""Tensors over real gRPC: answers, int8 on the wire, refusals, broken servers and cancellation."""

import asyncio
import itertools
import re
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
from partita.v1 import front_end_pb2, tensor_transport_pb2, tensor_transport_pb2_grpc, types_pb2
from services.runtime.shaping import LinkShaper
from services.runtime.streams import from_spec, spec_of, tensor_parts
from services.transport.sender import TensorSender, Way
from tests.integration.data_plane import DataPlane, data_plane, largest_difference
from tests.unit.models import chain_model, random_inputs, residual_model
from tests.unit.plans import run
from tests.unit.tensor_parts import parts_apart

SERVERS = ("device", "edge", "cloud")


async def nothing_held(plane: DataPlane) -> None:
    async with asyncio.timeout(60):
        while plane.requests_under_way:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("way", Way)
async def test_three_servers_answer_as_the_whole_model_does(
    tmp_path: Path, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.transport.sender.LEAST_BYTES", 0)
    async with data_plane(residual_model(), SERVERS, tmp_path, nearest=way) as plane:
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
        tensor = [front_end_pb2.InferRequest(tensor=part) for part in parts_apart(inputs)]
        (both,) = (front_end_pb2.InferRequest(header=header.header, tensor=part) for part in tensor_parts(inputs))
        out_of_order = types_pb2.TensorPart(chunk=types_pb2.Chunk(offset=4, data=b"1234"))
        too_much = types_pb2.TensorPart(chunk=types_pb2.Chunk(offset=0, data=b"1" * (array.nbytes + 1)))
        for requests, error, message in (
            ([], InvalidArgumentError, "header"),
            (tensor, InvalidArgumentError, "header"),
            ([header], InvalidTensorError, name),
            ([header, tensor[1]], InvalidArgumentError, "header"),
            ([header, header, *tensor], InvalidArgumentError, "one header"),
            ([both, tensor[1]], InvalidArgumentError, "before any tensor header"),
            ([both, both], InvalidArgumentError, "one header"),
            ([both, front_end_pb2.InferRequest()], InvalidArgumentError, "before any tensor header"),
            ([header, tensor[0]], InvalidArgumentError, "ended after 0"),
            ([header, tensor[0], front_end_pb2.InferRequest(tensor=out_of_order)], InvalidArgumentError, "offset 4"),
            ([header, tensor[0], front_end_pb2.InferRequest(tensor=too_much)], TooLargeError, "announced"),
        ):
            with pytest.raises(error, match=message):
                await plane.responses(requests)
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
        address = plane.version.addresses["edge"]
        carry = tensor_transport_pb2_grpc.TensorTransportStub(plane.channels.to(address)).Carry()
        await carry.write(
            tensor_transport_pb2.CarryRequest(
                header=tensor_transport_pb2.CarryHeader(greeting=tensor_transport_pb2.CarryGreeting())
            )
        )
        assert (await carry.read()).welcome.receiver
        numbers = itertools.count(1)

        async def transfer(tensor: types_pb2.TensorSpec, offset: int, data: bytes, version: int = 1) -> str:
            announcement = tensor_transport_pb2.TensorAnnouncement(
                destination=tensor_transport_pb2.DESTINATION_INFERENCER,
                deployment="app",
                version=version,
                request_id="r",
                tensor=tensor,
            )
            header = tensor_transport_pb2.CarryHeader(tensor=next(numbers), offset=offset, announcement=announcement)
            await carry.write(tensor_transport_pb2.CarryRequest(header=header, data=data))
            answer = await carry.read()
            assert answer.tensor == header.tensor
            return f"{answer.error}: {answer.message}"

        good, data = from_spec(spec), bytes(spec.byte_count)
        other = from_spec(spec_of("other", np.zeros(1, np.float32)))
        huge = types_pb2.TensorSpec(name=spec.name, dtype="float32", shape=[2**20, 2**20])
        for tensor in (other, huge, types_pb2.TensorSpec(name=spec.name, dtype="complex64", shape=[1])):
            assert "InvalidTensorError" in await transfer(tensor, 0, data)
        assert re.match("InvalidArgumentError.*offset 8", await transfer(good, 8, b"1"))
        assert re.match("TooLargeError.*announced", await transfer(good, 0, data + b"1"))
        assert re.match("NotFoundError.*version 9", await transfer(good, 0, data, version=9))
        # Each was refused for itself: the stream goes on.
        waiting = asyncio.create_task(plane.run("edge", RequestKey("app", 1, "r")))
        assert await transfer(good, 0, data) == ": "
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        carry.cancel()
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
        waiting = asyncio.create_task(plane.run("edge", RequestKey("app", 1, "r")))
        while not len(plane.inferencers["edge"].requests):
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await nothing_held(plane)
        with pytest.raises(RequestCancelledError, match="begun before"):
            await plane.run("edge", RequestKey("app", 1, "r"))


async def test_cancelling_a_transfer_leaves_no_trace(tmp_path: Path) -> None:
    async with data_plane(chain_model(), ("device", "edge"), tmp_path) as plane:
        component = next(item for item in plane.version.division.components if item.server == "edge")
        spec = component.inputs[0]
        array = np.zeros(spec.shape, spec.dtype)
        address = plane.version.addresses["edge"]
        async with TensorSender(LinkShaper(()), Way.SOCKET) as sender:
            # Nobody has begun this request: its tensor waits for it.
            sending = asyncio.create_task(
                sender.to_inferencer("edge", address, RequestKey("app", 1, "r"), spec.name, array)
            )
            done, _ = await asyncio.wait([sending], timeout=0.2)
            assert not done
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            inputs = random_inputs(plane.model)
            assert largest_difference(await plane.infer(inputs), run(plane.whole, inputs)) < 1e-5
            await nothing_held(plane)
