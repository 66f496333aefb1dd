"""One server's part: what it refuses, and what it keeps."""

import asyncio
import gc
import threading
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.deployment import ComponentRun, DeploymentVersion, Division, RequestKey
from core.errors import (
    InvalidArgumentError,
    InvalidModelError,
    InvalidTensorError,
    NotFoundError,
    RequestCancelledError,
)
from core.profiles import RuntimeSettings
from core.progress import no_progress
from core.tensors import TensorSpec
from inferencer.batching import for_many
from inferencer.inferencer import Inferencer, _Loaded
from inferencer.requests import RequestTable
from inferencer.session import Session
from tests.unit.data_plane import Wires, deployed, infer, received
from tests.unit.models import chain_model, random_inputs, residual_model

KEY = RequestKey("app", 1, "r1")
VERSION = DeploymentVersion("app", 1, "plan", Division("m", (), (), {}, (), "w"), "device", {}, "device:1")


async def test_tensors_it_does_not_take_are_refused() -> None:
    model = chain_model()
    _, version, wires = await deployed(model, ["edge"])
    edge = wires.inferencers["edge"]
    good = version.division.components[0].inputs[0]
    edge.expected(KEY, good)
    for bad in (replace(good, name="other"), replace(good, dtype="float64"), replace(good, shape=(1, 2))):
        with pytest.raises(InvalidTensorError, match="edge"):
            edge.expected(KEY, bad)
    with pytest.raises(NotFoundError, match="version 7"):
        edge.expected(replace(KEY, version=7), good)


async def test_a_released_version_is_gone() -> None:
    model = chain_model()
    _, _, wires = await deployed(model, ["edge"])
    edge = wires.inferencers["edge"]
    edge.release("app", 1)
    with pytest.raises(NotFoundError, match="deploy"):
        await edge.run(KEY)


async def test_a_server_without_components_refuses_to_prepare() -> None:
    model = chain_model()
    _, version, wires = await deployed(model, ["edge"])
    with pytest.raises(InvalidArgumentError, match="cloud"):
        await Inferencer("cloud", RuntimeSettings(), wires, wires).prepare(version, no_progress)


async def test_a_bad_component_leaves_nothing_prepared() -> None:
    model = chain_model()
    _, version, wires = await deployed(model, ["edge"])
    wires.blobs[version.division.components[0].blob] = b"not a model"
    edge = Inferencer("edge", RuntimeSettings(), wires, wires)
    with pytest.raises(InvalidModelError):
        await edge.prepare(version, no_progress)
    with pytest.raises(NotFoundError):
        edge.expected(KEY, TensorSpec("x", "float32", (1,)))


async def test_a_tensor_waits_for_its_request_and_is_kept_until_taken() -> None:
    table = RequestTable()
    finding = asyncio.create_task(table.find(KEY))
    await asyncio.sleep(0)
    assert not finding.done()
    request = table.open(KEY, {"x": 2})
    assert await finding is request
    request.put("x", np.zeros(4, np.float32))
    request.put("x", np.ones(4, np.float32))
    request.put("unknown", np.ones(4, np.float32))
    assert table.held_bytes == 16
    assert (await request.wait("x")).sum() == 0
    request.taken("x")
    assert table.held_bytes == 16
    request.taken("x")
    assert table.held_bytes == 0


async def test_a_tensor_of_a_request_under_way_is_taken_at_once() -> None:
    table = RequestTable()
    request = table.open(KEY, {"x": 1})
    assert table.put(KEY, "x", np.ones(4, np.float32)) is None
    assert (await request.wait("x")).sum() == 4


async def test_a_late_tensor_and_a_doubled_request_are_refused_at_once() -> None:
    table = RequestTable()
    table.open(KEY, {"x": 1})
    waiting = asyncio.create_task(table.find(replace(KEY, request_id="r2")))
    table.close(KEY)
    with pytest.raises(RequestCancelledError, match="r1"):
        await table.find(KEY)
    with pytest.raises(RequestCancelledError, match="r1"):
        table.put(KEY, "x", np.zeros(1))
    with pytest.raises(RequestCancelledError, match="r1"):
        table.open(KEY, {})
    table.close(replace(KEY, request_id="r2"))
    with pytest.raises(RequestCancelledError, match="r2"):
        await waiting


async def test_preparing_again_loads_nothing_and_takes_over_addresses() -> None:
    model = chain_model()
    _, version, wires = await deployed(model, ["device", "edge"])
    device = wires.inferencers["device"]
    wires.blobs.clear()
    await device.prepare(replace(version, addresses={**version.addresses, "edge": "elsewhere:1"}), no_progress)
    sent: list[tuple[str, str]] = []

    async def to_inferencer(server: str, address: str, *rest: Any) -> None:
        sent.append((server, address))

    wires.to_inferencer = to_inferencer  # type: ignore[method-assign]
    run = asyncio.create_task(device.run(KEY))
    for name, array in random_inputs(model).items():
        await received(device, KEY, name, array)
    await run
    assert sent == [("edge", "elsewhere:1")]


async def test_components_are_told_of_as_they_have_run_whatever_becomes_of_the_request() -> None:
    model = chain_model()
    _, version, wires = await deployed(model, ["device", "edge", "device"])
    device = wires.inferencers["device"]
    first, *_ = [component.id for component in version.division.components if component.server == "device"]
    told: list[ComponentRun] = []
    some = asyncio.Event()

    def ran(run: ComponentRun) -> None:
        told.append(run)
        some.set()

    wires.inferencers["edge"].requests.open(KEY, {})
    running = asyncio.create_task(device.run(KEY, ran=ran))
    for name, array in random_inputs(model).items():
        await received(device, KEY, name, array)
    await some.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [(run.component, run.server) for run in told] == [(first, "device")]


async def test_a_cancelled_request_is_freed_even_where_it_waits_for_the_executor() -> None:
    model = chain_model()
    _, version, wires = await deployed(model, ["edge"])
    edge = wires.inferencers["edge"]
    spec = version.division.components[0].inputs[0]
    held = threading.Event()
    edge._executor.submit(held.wait, 10)
    array = np.zeros(spec.shape, spec.dtype)
    freed = weakref.ref(array)
    running = asyncio.create_task(edge.run(KEY))
    await received(edge, KEY, spec.name, array)
    while edge._executor._work_queue.empty():
        await asyncio.sleep(0)
    assert edge.requests.held_bytes == array.nbytes
    del array
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(edge.requests) == 0
    assert edge.requests.held_bytes == 0
    gc.collect()
    assert freed() is None
    held.set()


async def test_tensors_of_requests_that_do_not_begin_are_counted_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferencer.requests.BEGIN_SECONDS", 0.05)
    table = RequestTable()
    taken = table.put(KEY, "x", np.zeros(4, np.float32))
    assert taken is not None
    early = asyncio.ensure_future(taken)
    await asyncio.sleep(0)
    assert table.held_bytes == 16
    with pytest.raises(RequestCancelledError, match="did not begin"):
        await early
    assert table.held_bytes == 0


@pytest.mark.parametrize("before", range(6))
@pytest.mark.parametrize("turns", range(6))
async def test_a_request_cancelled_at_any_moment_leaves_nothing(before: int, turns: int) -> None:
    edge = Inferencer("edge", RuntimeSettings(), (wires := Wires({})), wires)
    edge._loaded["app", 1] = _Loaded(VERSION, (), {}, {}, {})
    requests = [replace(KEY, request_id=f"r{number}") for number in range(20)]

    async def take_part(key: RequestKey) -> None:
        await edge.run(key)
        await asyncio.Event().wait()

    # Tensors wait for requests that do not begin, and are woken whenever another one does.
    tasks = [asyncio.create_task(received(edge, key, "images", np.zeros(1))) for key in requests]
    await asyncio.sleep(0)
    for key, moments in ((KEY, before), (replace(KEY, request_id="next"), turns)):
        tasks.append(asyncio.create_task(take_part(key)))
        for _ in range(moments):
            await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(edge.requests) == 0
    assert edge.requests.held_bytes == 0


async def test_what_goes_to_a_server_compressed_is_what_the_plan_says() -> None:
    model = chain_model()
    front_end, version, wires = await deployed(model, ["device", "edge"])
    first, last = version.division.components
    (crossing,), (answer,) = first.outputs, last.outputs
    division = replace(
        version.division,
        components=(replace(first, compressed={crossing.name: ("edge",)}), replace(last, compressed={})),
        compressed_inputs={spec.name: ("edge",) for spec in version.division.inputs},
    )
    for changed, compressed in (
        (division, {("edge", crossing.name)}),
        (
            replace(
                version.division,
                components=(first, replace(last, compressed={answer.name: ("device",)})),
                compressed_inputs={spec.name: ("device",) for spec in version.division.inputs},
            ),
            {("front end", answer.name), *(("device", spec.name) for spec in version.division.inputs)},
        ),
    ):
        wires.compressed.clear()
        for server in wires.inferencers.values():
            await server.prepare(replace(version, division=changed), no_progress)
        front_end.activate(replace(version, division=changed))
        await infer(front_end, random_inputs(model))
        assert wires.compressed == compressed


async def test_outputs_are_made_where_who_gets_them_sees_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferencer.session.SMALL_BYTES", 0)
    model = residual_model()
    front_end, version, wires = await deployed(model, ["device", "edge"])
    first, last = version.division.components
    crossing = {name for name, targets in first.routes.items() if targets == (last.id,)}
    inputs = random_inputs(model)
    expected = (await infer(front_end, inputs)).outputs
    assert not wires.made_there
    for shared, made in (
        ({"edge"}, {("edge", name) for name in crossing}),
        ({"device"}, {("front end", spec.name) for spec in version.division.outputs}),
    ):
        wires.shared = shared
        wires.made_there.clear()
        found = (await infer(front_end, inputs)).outputs
        assert wires.made_there == made
        assert made
        assert all(np.array_equal(found[name], array) for name, array in expected.items())


async def test_inputs_are_put_together_where_who_gets_them_sees_them() -> None:
    front_end, version, wires = await deployed(chain_model(), ["edge"])
    [spec] = version.division.inputs
    assert front_end.memory_for(version, spec.name, 1000).nbytes == 1000
    assert not wires.lent
    wires.shared = {"edge"}
    assert front_end.memory_for(version, spec.name, 1000) is wires.lent[0]
    compressed = replace(version.division, compressed_inputs={spec.name: ("edge",)})
    front_end.memory_for(replace(version, division=compressed), spec.name, 1000)
    assert len(wires.lent) == 1


@pytest.mark.parametrize("servers", [["device"], ["device", "edge"]])
async def test_requests_computed_together_get_their_own_answers(
    servers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is quicker here: the server is made to join what waits."""

    def always(data: bytes, inputs: Any, alone: Session, settings: RuntimeSettings, most: int) -> tuple[Session, int]:
        return Session(for_many(data), settings), most

    monkeypatch.setattr("inferencer.inferencer.session_for_many", always)
    model = residual_model()
    front_end, version, wires = await deployed(model, servers, queue_limit=32, micro_batch=3)
    executor = next(iter(wires.inferencers.values()))._executor
    held = threading.Event()
    executor.submit(held.wait, 30)
    whole = Session(wires.blobs[version.division.whole_blob], RuntimeSettings())
    requests = [random_inputs(model, seed) for seed in range(7)]
    tasks = [asyncio.create_task(infer(front_end, one, alone=number == 3)) for number, one in enumerate(requests)]
    while sum(task.done() for task in tasks) == 0 and len(wires.inferencers[servers[0]].requests) < 4:
        await asyncio.sleep(0)
    held.set()
    answers = await asyncio.gather(*tasks)
    together = [[run.together for run in answer.runs] for answer in answers]
    assert max(map(max, together)) == 3
    assert set(together[3]) == {1}
    for one, answer in zip(requests, answers, strict=True):
        for name, expected in whole.run(one).items():
            np.testing.assert_allclose(answer.outputs[name], expected, rtol=1e-4, atol=1e-5)


async def test_a_server_says_which_components_it_runs_for_several_requests() -> None:
    _, version, wires = await deployed(residual_model(), ["edge"])
    said: list[str] = []
    edge = Inferencer("edge", RuntimeSettings(), wires, wires)
    await edge.prepare(replace(version, version=2, micro_batch=2), lambda _, message: said.append(message))
    assert any("requests at once" in message or "one request at a time" in message for message in said)
