"""A FrontEnd calls the Inferencer of its own process without gRPC; answers, metrics and freeing are the same."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import REGISTRY

from bench.pipeline.cut import halved
from bench.prediction.deployed import connected
from bench.prediction.models import BenchModel
from bench.seeing.run import SERVERS, cluster_in_this_process
from core.errors import DeadlineExceededError
from partita.inference import infer
from services.runtime.channels import Channels
from services.transport.receiver import PART
from tests.unit.models import chain_model
from tests.unit.plans import run


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def calls() -> float:
    return sample("partita_call_seconds_count", method=PART)


def components(server: str, component: int) -> float:
    labels = {"deployment": "bench-1", "server": server, "component": str(component), "part": "compute"}
    return sample("partita_component_seconds_count", **labels)


async def test_only_other_processes_are_called(tmp_path: Path) -> None:
    halves = halved(BenchModel("chain", chain_model(8).SerializeToString, {}))
    division, blobs = halves.divided(*SERVERS, SERVERS[0])
    async with (
        cluster_in_this_process(tmp_path) as control,
        connected(control) as nodes,
        nodes.deployed(division, blobs, SERVERS[0]) as running,
        Channels() as channels,
    ):
        address = running._version.front_end_address
        channel = channels.to(address)
        before = calls()
        counted = [components(component.server, component.id) for component in division.components]
        outputs, report = await infer(channel, address, running._version.deployment, halves.inputs, 60.0)
        np.testing.assert_allclose(outputs["features"], run(halves.data, halves.inputs)["features"], atol=1e-5)
        assert {item.server for item in report.runs} == set(SERVERS)
        assert calls() == before + 1
        after = [components(component.server, component.id) for component in division.components]
        assert after == [count + 1 for count in counted]
        # A request that ends early leaves nothing behind there either.
        with pytest.raises(DeadlineExceededError):
            await infer(channel, address, running._version.deployment, halves.inputs, 1e-3)
        async with asyncio.timeout(60):
            while any(sample("partita_requests_under_way", service="inferencer", server=server) for server in SERVERS):
                await asyncio.sleep(0.01)
