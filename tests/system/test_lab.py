"""Two servers in namespaces with a shaped and delayed link, really: raised, measured, changed and taken down."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import FailedPreconditionError
from core.progress import no_progress
from lab import state
from lab.lifecycle import change_link, labs, raise_links, reshape, start_traces, take_down
from lab.measure import Comparison, measure_links
from lab.network import CONTROL
from lab.state import Lab
from lab.topology_file import read_topology

TOPOLOGY = """
format: partita/topology@1
servers: {near: {role: device}, far: {role: edge}}
links:
  - {from: near, to: far, trace: up.csv}
  - {from: far, to: near, bandwidth: 20MB/s, delay: 10ms}
"""


def can_make_namespaces() -> bool:
    name = f"plab-probe-{os.getpid()}"
    tools = all(shutil.which(tool) for tool in ("ip", "tc", "sysctl", "taskset"))
    if not tools or os.geteuid() != 0:
        return False
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError:
        return False
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode == 0
    return made and subprocess.run(["ip", "netns", "delete", name], capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, iproute2 and network namespaces")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    (tmp_path / "up.csv").write_text("seconds,bandwidth,delay\n0,5MB/s,20ms\n1,1MB/s,60ms\n")
    name = f"t{os.getpid()}"
    try:
        yield raise_links(read_topology(TOPOLOGY, tmp_path), name)
    finally:
        take_down(name)


def measured(lab: Lab, name: str) -> Comparison:
    (found,) = measure_links(lab, (lab.topology.link(name),), no_progress)
    return found


def is_roughly(found: Comparison, bytes_per_second: float, delay_seconds: float) -> bool:
    """On a busy machine: never above what was asked by much, and not below the half of it."""
    rate, delay = found.measured.bytes_per_second, found.measured.delay_seconds
    return 0.5 < rate / bytes_per_second < 1.3 and 0.9 < delay / delay_seconds < 2


@pytest.mark.timeout(180)
def test_links_are_as_asked_and_can_be_changed(lab: Lab) -> None:
    assert is_roughly(measured(lab, "near:far"), 5e6, 0.02)
    assert is_roughly(measured(lab, "far:near"), 20e6, 0.01)

    change_link(lab.name, reshape(lab, "far:near", bytes_per_second=2e6, delay_seconds=0.04))
    changed = state.load(lab.name)
    assert is_roughly(measured(changed, "far:near"), 2e6, 0.04)

    start_traces(lab)
    end = time.monotonic() + 60
    while state.load(lab.name).topology.link("near:far").shape.delay_seconds != 0.06:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert is_roughly(measured(state.load(lab.name), "near:far"), 1e6, 0.06)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("state_lost", [False, True])
def test_nothing_is_left_also_after_a_crash(lab: Lab, state_lost: bool) -> None:
    control = lab.network.namespace(CONTROL)
    own = subprocess.Popen(["ip", "netns", "exec", lab.network.namespace("near"), "sleep", "600"])
    for pid in subprocess.run(["ip", "netns", "pids", control], capture_output=True, text=True).stdout.split():
        os.kill(int(pid), signal.SIGKILL)
    if state_lost:
        shutil.rmtree(lab.directory)
    assert take_down(lab.name)
    # What ran there, whoever started it, would keep its namespace.
    assert own.wait(30) != 0
    assert lab.name not in labs()
    assert not lab.directory.exists()
    for listing in (["ip", "netns", "list"], ["ip", "link", "show"], ["ip", "route", "show"]):
        assert lab.name not in subprocess.run(listing, capture_output=True, text=True).stdout
    assert not take_down(lab.name)


@pytest.mark.timeout(180)
def test_a_second_lab_of_the_same_name_is_refused_and_the_first_stays(lab: Lab) -> None:
    with pytest.raises(FailedPreconditionError, match="is up already"):
        raise_links(lab.topology, lab.name)
    assert state.load(lab.name).shaping == lab.shaping


@pytest.mark.timeout(180)
def test_the_command_prints_what_was_asked_and_measured(tmp_path: Path) -> None:
    topology = tmp_path / "pair.yaml"
    topology.write_text(
        "format: partita/topology@1\n"
        "servers: {near: {role: device}, far: {role: edge}}\n"
        "links: [{between: [near, far], bandwidth: 1MB/s, delay: 30ms}]\n"
    )
    command = [sys.executable, "-m", "partita.cli.main", "lab", "check", str(topology), "--json"]
    result = subprocess.run(command, capture_output=True, text=True)
    printed = json.loads(result.stdout)
    assert [(link["source"], link["target"]) for link in printed["links"]] == [("near", "far"), ("far", "near")]
    for link in printed["links"]:
        assert link["asked"]["bytes_per_second"] == 1e6
        assert link["measured"]["delay_seconds"] >= 0.027
    errors = [link["relative_error"]["bandwidth"] for link in printed["links"]]
    assert printed["worst_relative_error"]["bandwidth"] == max(errors)
    # A busy machine may be off; then it says so.
    agrees = all(link["agrees"] for link in printed["links"])
    assert result.returncode == (0 if agrees else 1)
    assert agrees or "more than 10 % off" in result.stderr
    assert printed["name"] not in labs()
