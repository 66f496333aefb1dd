"""A cluster of real processes: plans run as promised, bad input changes nothing, crashes are survived."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import pytest_asyncio

from core.cluster import SERVER_SERVICES
from core.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    InvalidModelError,
    InvalidTensorError,
    NotFoundError,
    PartitaError,
    ServerUnavailableError,
)
from partita import aio
from partita.cluster import EmbeddedCluster
from tests.integration.data_plane import largest_difference
from tests.system.conftest import small_cluster
from tests.unit.models import chain_model, random_inputs, residual_model
from tests.unit.plans import run

pytestmark = pytest.mark.asyncio(loop_scope="module")

SPREAD = {"/conv_0": ["device"], "/conv_2": ["device"], "/conv_4": ["edge"], "/features": ["cloud"]}
"""Forces the chain model over all three servers."""

SAMPLES = 8
"""How many calibration samples come with a model."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[EmbeddedCluster, aio.Client]]:
    async with small_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


async def load_chain(client: aio.Client, name: str) -> onnx.ModelProto:
    model = chain_model()
    samples = [random_inputs(model, seed) for seed in range(SAMPLES)]
    await client.load(model.SerializeToString(), name, samples=samples)
    return model


async def test_a_float_plan_answers_as_the_whole_model_does(cluster: tuple[EmbeddedCluster, aio.Client]) -> None:
    _, client = cluster
    model = await load_chain(client, "float")
    plan = await client.plan("float", layer_rules=SPREAD, noise_limit=0.0)
    assert plan.status == "optimal"
    assert {component.server for component in plan.components if component.layers} == {"device", "edge", "cloud"}
    assert plan.quantized == ()
    deployment = await client.deploy(plan)
    inputs = [random_inputs(model, 100 + seed) for seed in range(6)]
    answers = await asyncio.gather(*(deployment.infer(item) for item in inputs))
    for item, answer in zip(inputs, answers, strict=True):
        assert largest_difference(answer, run(model.SerializeToString(), item)) < 1e-5
    await deployment.undeploy()
    with pytest.raises(NotFoundError, match="float"):
        await deployment.infer(inputs[0])


async def test_an_int8_plan_keeps_its_promise_of_noise(cluster: tuple[EmbeddedCluster, aio.Client]) -> None:
    _, client = cluster
    model = await load_chain(client, "int8")
    profiles = await client.profile("int8", noise_samples=40)
    assert profiles.model.noise is not None
    # The link is slow and the tensor that crosses it large: int8 pays, and crosses as int8.
    plan = await client.plan("int8", layer_rules={"/conv_[02]": ["device"], "/relu_3": ["edge"]}, noise_limit=10.0)
    assert "/conv_2" in plan.quantized
    deployment = await client.deploy(plan)
    crossing = [
        spec.dtype
        for component in deployment.info.detail.division.components
        if component.server == "edge"
        for spec in component.inputs
    ]
    assert "uint8" in crossing
    # The promise was measured on the samples that calibration did not see: every second one.
    noises = []
    for seed in range(1, SAMPLES, 2):
        inputs = random_inputs(model, seed)
        answer = await deployment.infer(inputs)
        exact = run(model.SerializeToString(), inputs)
        noises.append(np.mean([np.abs(answer[name] - exact[name]).mean() for name in exact]))
    assert plan.predicted is not None
    # One rounding step of int8 may fall differently where a cut breaks a fusion: 2 % of the noise is room for it.
    assert abs(np.mean(noises) - plan.predicted.noise) <= profiles.model.noise.residual + 0.02 * plan.predicted.noise
    assert plan.predicted.noise > 0
    await deployment.undeploy()


async def test_a_second_plan_measures_nothing(cluster: tuple[EmbeddedCluster, aio.Client]) -> None:
    _, client = cluster
    await load_chain(client, "twice")
    await client.profile("twice")
    assert (await client.profile("twice")).measured == 0


async def test_bad_models_are_refused_and_change_nothing(cluster: tuple[EmbeddedCluster, aio.Client]) -> None:
    _, client = cluster
    good = residual_model(batch="n").SerializeToString()
    before = await client.models()
    external = residual_model()
    external.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    external.graph.initializer[0].external_data.add(key="location", value="../../etc/passwd")
    external.graph.initializer[0].ClearField("raw_data")
    unknown = residual_model()
    unknown.graph.node[0].op_type = "NoSuchOperator"
    for data, shapes, message in (
        (good[: len(good) // 2], None, r"(?i)onnx"),
        (b"\x89PNG not a model", None, r"(?i)onnx"),
        (external.SerializeToString(), None, "passwd"),
        (unknown.SerializeToString(), None, "NoSuchOperator"),
        (good, None, "shape"),
        (good, {"nothing": (1, 3, 16, 16)}, "nothing"),
    ):
        with pytest.raises((InvalidModelError, InvalidArgumentError), match=message):
            await client.load(data, "bad", input_shapes=shapes)
    with pytest.raises(InvalidTensorError):
        await client.load(chain_model().SerializeToString(), "bad", samples=[{"wrong": np.zeros(3, np.float32)}])
    assert await client.models() == before


async def test_unknown_names_and_wrong_inputs_are_named(cluster: tuple[EmbeddedCluster, aio.Client]) -> None:
    _, client = cluster
    with pytest.raises(NotFoundError, match="nothing"):
        await client.plan("nothing")
    with pytest.raises(NotFoundError, match="nothing"):
        await client.deploy("nothing")
    with pytest.raises(NotFoundError, match="nothing"):
        await client.deployment("nothing")
    model = await load_chain(client, "wrong")
    with pytest.raises(NotFoundError, match="moon"):
        await client.plan("wrong", servers=["device", "moon"])
    with pytest.raises(InvalidArgumentError, match="sum to 1"):
        await client.plan("wrong", latency_weight=0.9, energy_weight=0.9)
    infeasible = await client.plan("wrong", memory_limit_bytes=dict.fromkeys(("device", "edge", "cloud"), 1))
    assert infeasible.status == "infeasible"
    assert "memory" in (infeasible.reason or "")
    with pytest.raises(FailedPreconditionError, match="memory"):
        await client.deploy(infeasible)
    deployment = await client.deploy(await client.plan("wrong"), "wrong-inputs")
    inputs = random_inputs(model)
    name = next(iter(inputs))
    for bad in ({}, {"other": inputs[name]}, {name: inputs[name].astype(np.float64)}, {name: inputs[name][:, :1]}):
        with pytest.raises(InvalidTensorError):
            await deployment.infer(bad)
    assert await deployment.infer(inputs)
    await deployment.undeploy()


async def test_a_killed_server_is_named_or_done_without(tmp_path: Path) -> None:
    async with small_cluster(tmp_path) as (cluster, client):
        model = await load_chain(client, "chain")
        bound = await client.deploy(await client.plan("chain", layer_rules=SPREAD, noise_limit=0.0), "bound")
        plan = await client.plan("chain", layer_rules={"/features": ["edge", "cloud"]}, noise_limit=0.0)
        free = await client.deploy(plan, "free")
        inputs = random_inputs(model)
        answer = await bound.infer(inputs)
        lost = plan.placement["/features"]
        cluster.processes[lost].kill()
        # The same request, sent before anybody knows, ends in the error or in the answer.
        error, other = await asyncio.gather(
            bound.infer(inputs, timeout_seconds=120), until_answered(free, inputs), return_exceptions=True
        )
        assert isinstance(error, ServerUnavailableError)
        assert lost in str(error)
        assert isinstance(other, dict)
        assert largest_difference(other, answer) < 1e-5
        # It answers a moment before that is written down.
        async with asyncio.timeout(120):
            while lost in (await client.deployment("free")).info.detail.addresses:
                await asyncio.sleep(0.2)
        assert lost not in {server.name for server in (await client.cluster()).servers}
        with pytest.raises(ServerUnavailableError, match=lost):
            await client.deploy(bound.info.plan_id)
        plan = await client.plan("chain")
        assert lost not in plan.placement.values()
        await (await client.deploy(plan, "chain")).infer(inputs)


async def until_answered(deployment: aio.Deployment, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Ask until there is an answer; until then, errors are typed."""
    async with asyncio.timeout(120):
        while True:
            try:
                return await deployment.infer(inputs)
            except PartitaError:
                await asyncio.sleep(0.2)


async def test_what_was_accepted_survives_every_process(tmp_path: Path) -> None:
    async with small_cluster(tmp_path) as (cluster, client):
        model = await load_chain(client, "chain")
        plan = await client.plan("chain", layer_rules=SPREAD, noise_limit=0.0)
        deployment = await client.deploy(plan)
        inputs = random_inputs(model)
        answer = await deployment.infer(inputs)
        cluster.processes["control"].kill()
        await cluster.processes["control"].wait()
        # The way of a request does not lead through the control services.
        assert largest_difference(await deployment.infer(inputs), answer) == 0
        await cluster.restart("control")
        async with asyncio.timeout(120):
            # Their services register one after the other.
            while sum(one.services.keys() >= {*SERVER_SERVICES} for one in (await client.cluster()).servers) < 3:
                await asyncio.sleep(0.2)
        assert [item.name for item in await client.models()] == ["chain"]
        assert await client.plan_by_id(plan.id or "") == plan
        assert (await client.profile("chain")).measured == 0
        again = await client.deployment("chain")
        assert largest_difference(await again.infer(inputs), answer) == 0
        assert (await client.deploy(plan.id or "")).info.version == 2
        again = await client.deployment("chain")
        # Servers take up their parts by themselves, from their own disks, wherever they are now.
        (tmp_path / "blobs").rename(tmp_path / "out of reach")
        for name, flags in (("cloud", []), ("edge", ["--listen=127.0.0.1:0"]), ("device", ["--listen=127.0.0.1:0"])):
            before = cluster.addresses[name]
            cluster.processes[name].kill()
            await cluster.processes[name].wait()
            await cluster.restart(name, *flags)
            assert (cluster.addresses[name] != before) == bool(flags)
            assert largest_difference(await until_answered(again, inputs), answer) == 0
