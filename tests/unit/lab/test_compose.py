"""The compose file is the thesis's topology, as the lab's preset is."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import units
from lab.topology_file import load_topology

DEPLOY = Path(__file__).parents[3] / "deploy"
THESIS = load_topology("thesis")


def defaults() -> dict[str, str]:
    lines = (DEPLOY / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def value(text: str) -> str:
    """What compose makes of ``${NAME:-…}`` with the .env file that lies beside it."""
    return defaults()[text.removeprefix("${").split(":-")[0]] if text.startswith("${") else text


@pytest.fixture(scope="module")
def services() -> Any:
    return yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())["services"]


@pytest.mark.parametrize("server", THESIS.servers, ids=lambda server: server.name)
def test_servers_are_the_same(services: Any, server: Any) -> None:
    for service in ("exec-profiler", "server-monitor", "inferencer", "front-end"):
        one = services[f"{server.name}-{service}"]
        environment = one["environment"]
        assert environment["PARTITA_SERVER"] == server.name
        assert environment["PARTITA_ROLE"] == server.role
        assert float(value(environment["PARTITA_SLOWDOWN"])) == server.slowdown
        assert int(value(environment["PARTITA_MEMORY_BYTES"])) == server.memory_bytes
        assert float(environment["PARTITA_COMPUTE_WATTS"]) == server.compute_watts
        assert float(environment["PARTITA_TRANSMIT_WATTS"]) == server.transmit_watts
        assert tuple(int(core) for core in value(one["cpuset"]).split(",")) == server.cores


def test_there_are_no_other_servers(services: Any) -> None:
    found = {one["environment"]["PARTITA_SERVER"] for one in services.values() if "cpuset" in one}
    assert found == {server.name for server in THESIS.servers}


@pytest.mark.parametrize("link", THESIS.links, ids=lambda link: link.name)
def test_links_have_the_same_rates_and_delays(services: Any, link: Any) -> None:
    environment = services[link.source]["environment"]
    # In tc's words "mbps" are megabytes per second.
    assert float(value(environment["RATE"]).removesuffix("mbps")) * 1e6 == link.shape.bytes_per_second
    delays = dict(entry.split("=") for entry in environment["DELAYS"].split())
    assert units.duration(delays[link.target]) == pytest.approx(link.shape.delay_seconds)
