"""Each image of the compose file holds what its services import."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SERVICES = {
    "control": ["registry", "model_pool"],
    "planner": ["optimizer"],
    "models": ["deployer", "model_profiler", "model_divider"],
    "node": ["exec_profiler", "server_monitor", "inferencer", "front_end"],
}
IMPORT = """
import importlib, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split():
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import services.__main__
for name in sys.argv[2:]:
    importlib.import_module(f"services.{name}")
"""


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w-]", one)[0].lower() for one in requirements}


def missing(image: str) -> set[str]:
    """Top-level modules that the image does not hold."""
    stage = re.search(rf"AS {image}\n(.*?)\n\n", (ROOT / "deploy/Dockerfile").read_text(), re.DOTALL)
    assert stage is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {one.rstrip("*") for one in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    extras: dict[str, list[str]] = project["project"]["optional-dependencies"]
    held = names(project["project"]["dependencies"])
    for extra in re.findall(r"\[(\w+)\]", stage[1]):
        held |= names(extras[extra])
    absent = names([one for extra in extras.values() for one in extra]) - held
    modules = {module for module, ones in packages_distributions().items() if {*map(str.lower, ones)} <= absent}
    return packages - set(re.findall(r"^COPY (\w+) ", stage[1], re.MULTILINE)) | modules


@pytest.mark.parametrize("image", SERVICES)
def test_an_image_holds_what_its_services_import(image: str) -> None:
    absent = missing(image)
    assert {"lab", "pytest"} <= absent
    command = [sys.executable, "-c", IMPORT, " ".join(absent), *SERVICES[image]]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr


def test_every_service_of_the_compose_file_is_looked_at() -> None:
    started = re.findall(r"command: \[(\w+),", (ROOT / "deploy/docker-compose.yml").read_text())
    assert {*started} == {name for services in SERVICES.values() for name in services}
