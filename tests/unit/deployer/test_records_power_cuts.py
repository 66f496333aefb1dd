"""The Deployer's records, and the Registry's links, after a power cut in the middle of a write."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.deployment import DeploymentVersion, Division
from core.document_store import DocumentStore
from core.profiles import MeasuredLink
from deployer.records import DeploymentRecord, ModelRecord, Records
from registry.network import Network
from tests.unit.power_cuts import moments

DIVISION = Division("hash", (), (), {}, (), "whole")


def model(content: str) -> ModelRecord:
    return ModelRecord("m", content, 1, (), (), "", 0)


def version(number: int) -> DeploymentVersion:
    return DeploymentVersion("app", number, "plan", DIVISION, "device", {"edge": "edge:1"}, "device:1")


def active(number: int) -> DeploymentRecord:
    return DeploymentRecord("app", "m", "active", version(number), "device:1")


def second_content(records: Records) -> None:
    records.keep_model(model("new"))


def new_version(records: Records) -> None:
    records.begin_version(version(2))
    records.keep_deployment(active(2))


def undeploy(records: Records) -> None:
    records.keep_deployment(DeploymentRecord("app", "m", "undeployed", version(1), "device:1"))


def view(records: Records) -> Any:
    """All that the Deployer reads, and what must be true of it at every moment."""
    in_force = records.in_force("app")
    leftovers = records.leftovers()
    # What servers may hold is in force, or known to be left over: never both, and never forgotten.
    assert in_force not in leftovers
    assert version(1) in (in_force, *leftovers)
    assert records.next_version("app") > max(item.version for item in (*leftovers, version(1)))
    return records.models(), records.model("m"), records.deployments(), in_force, leftovers


@pytest.mark.parametrize(("write", "steps"), [(second_content, 2), (new_version, 3), (undeploy, 2)])
def test_records(tmp_path: Path, write: Callable[[Records], None], steps: int) -> None:
    path = tmp_path / "deployer.sqlite"
    with DocumentStore(path) as store:
        records = Records(store)
        records.keep_model(model("old"))
        records.keep_deployment(active(1))
        copies = moments(path, store, lambda: write(records), tmp_path / "copies")
    views: list[Any] = []
    for copy in copies:
        with DocumentStore(copy) as store:
            if (found := view(Records(store))) not in views:
                views.append(found)
    # A new version is written down before servers hear of it, and again when it is in force.
    assert len(views) == steps


def test_links_are_taken_in_all_or_none(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    with DocumentStore(path) as store:
        network = Network(lambda: None, store)
        network.report([MeasuredLink("a", "b", 1.0, 1.0)])
        links = [MeasuredLink("a", "b", 2.0, 1.0), MeasuredLink("b", "a", 2.0, 1.0)]
        copies = moments(path, store, lambda: network.report(links), tmp_path / "copies")
    speeds = []
    for copy in copies:
        with DocumentStore(copy) as store:
            speeds.append([link.bytes_per_second for link in Network(lambda: None, store).links()])
    assert speeds[0] == [1.0]
    assert speeds[-1] == [2.0, 2.0]
    assert all(one in (speeds[0], speeds[-1]) for one in speeds)
