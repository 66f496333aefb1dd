"""What Prometheus reads of a process, and health that can be watched."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from core.deployment import ComponentRun
from core.errors import FailedPreconditionError, InvalidArgumentError
from partita.v1 import model_pool_pb2, model_pool_pb2_grpc
from services.model_pool import model_pool_service
from services.runtime.errors import typed_errors
from services.runtime.metrics import HELD_BYTES, observe_run, serve_metrics, watch
from services.runtime.server import serving
from services.runtime.settings import Settings

METHOD = "/partita.v1.ModelPool/HasBlobs"


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def pool_channel(directory: Path) -> AsyncIterator[grpc.aio.Channel]:
    async with (
        serving("127.0.0.1:0", [model_pool_service(Settings(data_directory=directory))]) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield channel


async def test_calls_and_their_errors_are_counted(tmp_path: Path) -> None:
    calls = counted("partita_call_seconds_count", method=METHOD)
    errors = counted("partita_errors_total", method=METHOD, error="InvalidArgumentError")
    async with pool_channel(tmp_path) as channel:
        stub = model_pool_pb2_grpc.ModelPoolStub(channel)
        await stub.HasBlobs(model_pool_pb2.HasBlobsRequest(sha256=["0" * 64]))
        with pytest.raises(InvalidArgumentError), typed_errors("the pool"):
            await stub.HasBlobs(model_pool_pb2.HasBlobsRequest(sha256=["../escape"]))
    assert counted("partita_call_seconds_count", method=METHOD) == calls + 2
    assert counted("partita_errors_total", method=METHOD, error="InvalidArgumentError") == errors + 1


async def test_prometheus_reads_components_and_gauges() -> None:
    observe_run("sonata", ComponentRun(3, "edge", 0.5, 0.25, 0.125))
    held = [7.0]
    watch(HELD_BYTES, "inferencer", "edge", lambda: held[0])
    held[0] = 8.0
    address = serve_metrics("127.0.0.1:0")
    text = await asyncio.to_thread(lambda: urllib.request.urlopen(f"http://{address}/metrics").read().decode())
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["partita_component_seconds_sum", "3", "edge", "queue", "sonata"] == 0.5
    assert samples["partita_component_seconds_sum", "3", "compute", "edge", "sonata"] == 0.25
    assert samples["partita_component_seconds_sum", "3", "edge", "sonata", "transfer"] == 0.125
    assert samples["partita_held_bytes", "edge", "inferencer"] == 8
    with pytest.raises(FailedPreconditionError, match=f"cannot serve metrics on '{address}'"):
        serve_metrics(address)
    with pytest.raises(FailedPreconditionError, match="cannot serve metrics on 'nowhere'"):
        serve_metrics("nowhere")


async def test_health_can_be_watched(tmp_path: Path) -> None:
    async with pool_channel(tmp_path) as channel:
        request = health_pb2.HealthCheckRequest(service="partita.v1.ModelPool")
        call = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=30)
        seen = await anext(aiter(call))
        call.cancel()
    assert seen.status == health_pb2.HealthCheckResponse.SERVING
