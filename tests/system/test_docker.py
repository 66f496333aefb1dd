"""Every service in its own container, three servers with shaped links, and the quickstart from outside."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ADDRESS = "127.0.0.1:50051"
SERVICES = 6 + 3 * 4
LINKS = 3


def engine() -> bool:
    return (
        shutil.which("docker") is not None and subprocess.run(["docker", "info"], capture_output=True).returncode == 0
    )


pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not engine(), reason="no Docker engine answers on this machine"),
]


def compose(*arguments: str) -> str:
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0
    command = ["docker", "compose"] if plugin else ["docker-compose"]
    result = subprocess.run(
        [*command, "-f", str(ROOT / "deploy/docker-compose.yml"), *arguments], capture_output=True, text=True, cwd=ROOT
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


def partita(*arguments: str) -> Any:
    command = [sys.executable, "-m", "partita.cli.main", *arguments, "--address", ADDRESS, "--json"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return json.loads(result.stdout) if result.returncode == 0 else None


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    compose("build")
    compose("up", "-d")
    try:
        end = time.monotonic() + 180
        while time.monotonic() < end:
            seen = partita("servers")
            if seen and len([server for server in seen["servers"] if server["state"]]) == 3:
                break
            time.sleep(2)
        else:
            pytest.fail("three servers did not register:\n" + compose("logs", "--tail=5"))
        yield
    finally:
        compose("down", "-v", "-t", "20")


def test_the_quickstart_runs_from_outside(cluster: None) -> None:
    result = subprocess.run(
        [sys.executable, "examples/quickstart.py", ADDRESS], capture_output=True, text=True, cwd=ROOT, env=os.environ
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    assert "of the pixels are text" in result.stdout
    assert "predicted" in result.stdout


def test_links_carry_no_more_than_they_were_shaped_to(cluster: None) -> None:
    links = {(link["source"], link["target"]): link["bytes_per_second"] for link in partita("servers")["links"]}
    assert len(links) == 6
    shaped = {"device": 5e6, "edge": 20e6, "cloud": 100e6}
    for (source, target), bytes_per_second in links.items():
        assert bytes_per_second < 1.2 * shaped[source], (source, target)


def test_every_service_has_its_container_and_no_root(cluster: None) -> None:
    names = compose("ps", "--services").split()
    assert len(names) == SERVICES + LINKS
    for name in set(names) - {"device", "edge", "cloud"}:
        assert compose("exec", "-T", name, "id", "-u").strip() == "10001", name


def test_containers_stop_in_order(cluster: None) -> None:
    compose("stop", "-t", "20", "registry", "edge-inferencer", "deployer")
    for name in ("registry", "edge-inferencer", "deployer"):
        container = compose("ps", "-q", name).strip()
        state = subprocess.run(
            ["docker", "inspect", "-f", "{{.State.ExitCode}}", container], capture_output=True, text=True
        )
        assert state.stdout.strip() == "0", name
