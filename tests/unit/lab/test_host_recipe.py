"""The recipe for real hosts starts the services with flags that they know."""

import subprocess
from pathlib import Path

import pytest

from services.runtime.settings import Settings, read_settings

RECIPE = Path(__file__).parents[3] / "deploy" / "host.sh"


def settings(*arguments: str) -> Settings:
    """What the services are told; ``echo`` stands for Python."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHON": "echo", "DATA": "/somewhere"}
    printed = subprocess.run(["sh", RECIPE, *arguments], env=environment, capture_output=True, text=True, check=True)
    words = printed.stdout.split()
    assert words[:2] == ["-m", "services"]
    return read_settings(words[2:], {})


def test_control_listens_where_servers_look_for_it() -> None:
    control = settings("control", "10.0.0.1")
    node = settings("node", "edge", "edge", "10.0.0.3", "10.0.0.1", "--threads=4", "--compute-watts=5.8")
    assert control.listen_address == node.registry == node.model_pool == "10.0.0.1:50051"
    assert (node.server, node.role, node.threads, node.compute_watts) == ("edge", "edge", 4, 5.8)
    assert node.listen_address.startswith("10.0.0.3:")
    assert control.data_directory == Path("/somewhere")


@pytest.mark.parametrize("arguments", [(), ("control",), ("node", "edge", "edge", "10.0.0.3")])
def test_too_few_words_are_refused_with_an_example(arguments: tuple[str, ...]) -> None:
    result = subprocess.run(["sh", RECIPE, *arguments], capture_output=True, text=True)
    assert result.returncode == 2
    assert "deploy/host.sh control 10.0.0.1" in result.stderr
