"""Requests through FrontEnd and Inferencers: answers, errors, cancellation, and that nothing stays behind."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from core.errors import (
    BusyError,
    DeadlineExceededError,
    InvalidArgumentError,
    InvalidTensorError,
    NotFoundError,
    ServerUnavailableError,
)
from core.profiles import RuntimeSettings
from core.progress import no_progress
from core.tensors import Array
from frontend.front_end import FrontEnd
from inferencer.inferencer import Inferencer
from tests.unit.data_plane import Wires, deployed, infer
from tests.unit.models import chain_model, random_inputs, residual_model
from tests.unit.plans import run


def assert_nothing_held(wires: Wires) -> None:
    assert wires.front_end is not None
    assert wires.front_end.requests_under_way == 0
    for inferencer in wires.inferencers.values():
        assert len(inferencer.requests) == 0
        assert inferencer.requests.held_bytes == 0


@pytest.mark.parametrize("servers", [["device"], ["device", "edge"], ["edge", "cloud", "device"]])
async def test_answer_is_the_whole_models(servers: list[str]) -> None:
    model = residual_model()
    front_end, version, wires = await deployed(model, servers)
    inputs = random_inputs(model)
    answer = await infer(front_end, inputs)
    whole = run(model.SerializeToString(), inputs)
    assert answer.outputs.keys() == whole.keys()
    for name, expected in whole.items():
        np.testing.assert_allclose(answer.outputs[name], expected, atol=1e-5 * float(np.ptp(expected)))
    assert [item.component for item in answer.runs] == [item.id for item in version.division.components]
    assert_nothing_held(wires)


async def test_several_requests_at_once_keep_apart() -> None:
    model = residual_model()
    front_end, _, wires = await deployed(model, ["device", "edge"])
    inputs = [random_inputs(model, seed) for seed in range(6)]
    answers = await asyncio.gather(*(infer(front_end, item) for item in inputs))
    for item, answer in zip(inputs, answers, strict=True):
        for name, expected in run(model.SerializeToString(), item).items():
            np.testing.assert_allclose(answer.outputs[name], expected, atol=1e-5 * float(np.ptp(expected)))
    assert_nothing_held(wires)


async def test_a_tensor_goes_once_to_each_server() -> None:
    model = residual_model()
    front_end, _, wires = await deployed(model, ["device", "edge"])
    await infer(front_end, random_inputs(model))
    assert len(wires.sent) == len(set(wires.sent))


async def test_wrong_inputs_are_refused_before_anything_is_sent() -> None:
    model = chain_model()
    front_end, _, wires = await deployed(model, ["device"])
    inputs = random_inputs(model)
    name = next(iter(inputs))
    for bad in (
        {},
        {**inputs, "more": inputs[name]},
        {name: inputs[name].astype(np.float64)},
        {name: inputs[name][..., :1]},
    ):
        with pytest.raises(InvalidTensorError, match=r"needs|required|takes"):
            await infer(front_end, bad)
    assert wires.sent == []
    assert_nothing_held(wires)


async def test_deadline_names_the_servers_that_are_not_done() -> None:
    model = chain_model()
    front_end, _, wires = await deployed(model, ["device", "edge"])
    wires.open["edge"] = asyncio.Event()
    with pytest.raises(DeadlineExceededError, match="edge"):
        await infer(front_end, random_inputs(model), 0.2)
    assert_nothing_held(wires)


async def test_a_broken_server_ends_the_request_with_its_error() -> None:
    model = chain_model()
    front_end, _, wires = await deployed(model, ["device", "edge"])
    wires.broken["edge"] = ServerUnavailableError("server 'edge' cannot be reached")
    with pytest.raises(ServerUnavailableError, match="edge"):
        await infer(front_end, random_inputs(model))
    assert_nothing_held(wires)


async def test_cancelling_frees_everything() -> None:
    model = chain_model()
    front_end, _, wires = await deployed(model, ["device", "edge"])
    wires.open["edge"] = asyncio.Event()
    request = asyncio.create_task(infer(front_end, random_inputs(model)))
    while not len(wires.inferencers["edge"].requests):
        await asyncio.sleep(0)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert_nothing_held(wires)


async def test_too_many_requests_are_refused() -> None:
    model = chain_model()
    front_end, _, wires = await deployed(model, ["edge"], request_limit=1, queue_limit=1)
    wires.open["edge"] = asyncio.Event()
    first = asyncio.create_task(infer(front_end, random_inputs(model)))
    second = asyncio.create_task(infer(front_end, random_inputs(model)))
    while not len(wires.inferencers["edge"].requests):
        await asyncio.sleep(0)
    with pytest.raises(BusyError, match="again in") as caught:
        await infer(front_end, random_inputs(model))
    assert caught.value.retry_after_seconds
    assert len(wires.inferencers["edge"].requests) == 1
    wires.open["edge"].set()
    assert (await first).outputs
    assert (await second).outputs
    assert_nothing_held(wires)


async def test_new_version_takes_new_requests_and_the_old_one_drains() -> None:
    model = chain_model()
    front_end, version, wires = await deployed(model, ["edge"])
    wires.open["edge"] = asyncio.Event()
    old = asyncio.create_task(infer(front_end, random_inputs(model)))
    while not len(wires.inferencers["edge"].requests):
        await asyncio.sleep(0)
    newer = replace(version, version=2)
    front_end.activate(newer)
    assert front_end.current("app") is newer
    drained = asyncio.create_task(front_end.drain("app", 1))
    await asyncio.sleep(0)
    assert not drained.done()
    wires.open["edge"].set()
    assert (await old).key.version == 1
    await drained


async def test_unknown_deployment_is_named_with_the_known_ones() -> None:
    model = chain_model()
    front_end, _, _ = await deployed(model, ["device"])
    with pytest.raises(NotFoundError, match=r"'ap'.*app"):
        front_end.current("ap")
    front_end.deactivate("app")
    with pytest.raises(NotFoundError):
        front_end.current("app")


async def test_a_front_end_that_has_just_started_waits_until_it_is_told() -> None:
    _, version, wires = await deployed(chain_model(), ["edge"])
    front_end = FrontEnd(wires, 8, 30.0, retry_seconds=60.0)
    waiting = asyncio.create_task(front_end.known("app", None))
    await asyncio.sleep(0)
    assert not waiting.done()
    with pytest.raises(NotFoundError, match="active: none"):
        await front_end.known("app", 0.01)
    front_end.activate(version)
    assert await waiting is version
    with pytest.raises(NotFoundError, match="active: app"):
        await front_end.known("other", None)


async def test_a_retry_joins_the_request_under_way() -> None:
    model = chain_model()
    front_end, _, wires = await deployed(model, ["edge"])
    wires.open["edge"] = asyncio.Event()
    calls = [asyncio.create_task(infer(front_end, random_inputs(model), request_id="r")) for _ in range(2)]
    other = asyncio.create_task(infer(front_end, random_inputs(model), request_id="s"))
    while len(wires.inferencers["edge"].requests) < 2:
        await asyncio.sleep(0)
    assert front_end.requests_under_way == 2
    wires.open["edge"].set()
    answers = await asyncio.gather(*calls)
    assert answers[0] is answers[1]
    assert answers[0].key.request_id.startswith("r.")
    assert (await other).key.request_id.startswith("s.")
    # It has ended: its id means nothing any more.
    assert (await infer(front_end, random_inputs(model), request_id="r")).key != answers[0].key
    assert_nothing_held(wires)


async def test_a_joined_request_goes_on_without_its_first_caller() -> None:
    model = chain_model()
    front_end, _, wires = await deployed(model, ["edge"])
    wires.open["edge"] = asyncio.Event()
    first, second = (asyncio.create_task(infer(front_end, random_inputs(model), request_id="r")) for _ in range(2))
    while not len(wires.inferencers["edge"].requests):
        await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    wires.open["edge"].set()
    assert (await second).outputs
    assert_nothing_held(wires)


@pytest.mark.parametrize("bad", ["x" * 1000, "a\nb"])
async def test_unusable_request_ids_are_refused(bad: str) -> None:
    model = chain_model()
    front_end, _, wires = await deployed(model, ["edge"])
    with pytest.raises(InvalidArgumentError, match="request id"):
        await infer(front_end, random_inputs(model), request_id=bad)
    assert_nothing_held(wires)


async def test_a_server_that_comes_back_answers_the_request() -> None:
    model = chain_model()
    front_end, version, wires = await deployed(model, ["device", "edge"], retry_seconds=30.0)
    wires.inferencers["edge"].release("app", 1)
    request = asyncio.create_task(infer(front_end, random_inputs(model)))
    while len(wires.sent) < 2:
        await asyncio.sleep(0)
    await wires.inferencers["edge"].prepare(version, no_progress)
    assert (await request).outputs
    assert_nothing_held(wires)


@pytest.mark.parametrize("silent", [False, True])
async def test_a_request_goes_on_with_the_version_that_does_without_the_lost_server(silent: bool) -> None:
    model = chain_model()
    front_end, version, wires = await deployed(model, ["edge"], retry_seconds=30.0)
    if silent:
        wires.open["edge"] = asyncio.Event()
    else:
        wires.broken["edge"] = ServerUnavailableError("server 'edge' cannot be reached")
    request = asyncio.create_task(infer(front_end, random_inputs(model)))
    while not len(wires.inferencers["edge"].requests):
        await asyncio.sleep(0)
    components = tuple(replace(item, server="cloud") for item in version.division.components)
    division = replace(version.division, components=components)
    newer = replace(version, version=2, division=division, addresses={"cloud": "cloud"}, lost=("edge",))
    wires.inferencers["cloud"] = Inferencer("cloud", RuntimeSettings(), wires, wires)
    await wires.inferencers["cloud"].prepare(newer, no_progress)
    front_end.activate(newer)
    answer = await request
    assert answer.key.version == 2
    assert {run.server for run in answer.runs} == {"cloud"}
    assert_nothing_held(wires)


async def test_deadline_names_the_server_that_did_not_come_back() -> None:
    model = chain_model()
    front_end, _, wires = await deployed(model, ["device", "edge"], retry_seconds=30.0)
    wires.broken["edge"] = ServerUnavailableError("server 'edge' cannot be reached")
    with pytest.raises(ServerUnavailableError, match=r"'edge' cannot be reached.*within 0.3 s"):
        await infer(front_end, random_inputs(model), 0.3)
    assert_nothing_held(wires)


async def test_no_other_try_where_the_deployment_has_ended() -> None:
    model = chain_model()
    front_end, _, wires = await deployed(model, ["device", "edge"], retry_seconds=30.0)
    wires.open["edge"] = asyncio.Event()
    request = asyncio.create_task(infer(front_end, random_inputs(model)))
    while not len(wires.inferencers["edge"].requests):
        await asyncio.sleep(0)
    front_end.deactivate("app")
    wires.broken["edge"] = ServerUnavailableError("gone")
    wires.open["edge"].set()
    with pytest.raises(NotFoundError, match="no deployment 'app'"):
        await request
    assert_nothing_held(wires)


async def test_waiting_requests_meet_their_deadline() -> None:
    model = chain_model()
    front_end, _, wires = await deployed(model, ["edge"], request_limit=1)
    wires.open["edge"] = asyncio.Event()
    first = asyncio.create_task(infer(front_end, random_inputs(model)))
    while not len(wires.inferencers["edge"].requests):
        await asyncio.sleep(0)
    with pytest.raises(DeadlineExceededError, match="turn"):
        await infer(front_end, random_inputs(model), 0.1)
    wires.open["edge"].set()
    assert (await first).outputs
    assert_nothing_held(wires)


async def test_inputs_are_not_read_before_there_is_a_place() -> None:
    model = chain_model()
    front_end, _, wires = await deployed(model, ["edge"], request_limit=1, queue_limit=1)
    wires.open["edge"] = asyncio.Event()
    calls = [asyncio.create_task(infer(front_end, random_inputs(model))) for _ in range(2)]
    while not len(wires.inferencers["edge"].requests):
        await asyncio.sleep(0)
    read: list[int] = []

    async def reading() -> dict[str, Array]:
        read.append(1)
        return {}

    with pytest.raises(BusyError):
        await front_end.infer("app", reading, None)
    assert not read
    wires.open["edge"].set()
    await asyncio.gather(*calls)
    assert_nothing_held(wires)
