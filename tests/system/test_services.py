"""Every service runs alone as its own process, tells its health, describes itself and stops when asked."""

import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.runtime.settings import DEFAULT_PORTS

FULL_NAMES = {
    "deployer": "partita.v1.Deployer",
    "model_pool": "partita.v1.ModelPool",
    "registry": "partita.v1.Registry",
    "model_profiler": "partita.v1.ModelProfiler",
    "optimizer": "partita.v1.Optimizer",
    "model_divider": "partita.v1.ModelDivider",
    "exec_profiler": "partita.v1.ExecProfiler",
    "server_monitor": "partita.v1.ServerMonitor",
    "inferencer": "partita.v1.Inferencer",
    "front_end": "partita.v1.FrontEnd",
}


def test_all_ten_are_tried() -> None:
    assert FULL_NAMES.keys() == DEFAULT_PORTS.keys()


@pytest.mark.parametrize("name", FULL_NAMES)
def test_service_alone(name: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "services", name, "--listen=127.0.0.1:0", f"--data-directory={tmp_path}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, process.communicate()[1]
        with grpc.insecure_channel(address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            for service in ("", FULL_NAMES[name]):
                answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=60)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            asked = reflection_pb2.ServerReflectionRequest(list_services="")
            described = next(stub.ServerReflectionInfo(iter([asked]), timeout=60))
            assert FULL_NAMES[name] in {item.name for item in described.list_services_response.service}
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
        assert process.returncode == 0, log
        # Every line on standard error is one JSON object.
        assert all(line.startswith("{") and line.endswith("}") for line in log.splitlines()), log
    finally:
        process.kill()
        process.communicate()


def test_two_on_one_port_are_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "services", "registry", "--log-format=text"]
    first = subprocess.Popen(
        [*command, "--listen=127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert first.stdout is not None
        address = first.stdout.readline().strip()
        second = subprocess.run([*command, f"--listen={address}"], capture_output=True, text=True, timeout=60)
        assert second.returncode == 1
        assert address in second.stderr
        assert "--listen" in second.stderr
        assert "Traceback" not in second.stderr
    finally:
        first.terminate()
        first.communicate()


def test_a_process_stops_when_its_owner_dies(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "services", "registry", "--listen=127.0.0.1:0", "--stop-with-stdin=true"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline()
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()
