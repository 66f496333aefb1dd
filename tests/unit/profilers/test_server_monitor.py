from dataclasses import replace

import psutil
import pytest

from core.profiles import Power, RuntimeSettings
from profilers import container
from profilers.container import usable_cores
from profilers.server_monitor import fingerprint, read_state

RUNTIME = RuntimeSettings(threads=2)
POWER = Power(3.0, 4.0, 1.0)


def test_equal_servers_have_equal_fingerprints():
    assert fingerprint(RUNTIME) == fingerprint(RuntimeSettings(threads=2))


@pytest.mark.parametrize("change", [{"threads": 3}, {"provider": "OpenVINOExecutionProvider"}])
def test_what_changes_the_speed_changes_fingerprint_and_description(change):
    one, other = fingerprint(RUNTIME), fingerprint(replace(RUNTIME, **change))
    assert one[0] != other[0]
    assert one[1] != other[1]


def test_servers_that_differ_in_their_slow_down_alone_share_profiles():
    one, other = fingerprint(RUNTIME), fingerprint(replace(RUNTIME, slowdown=2.5))
    assert one[0] == other[0]
    assert "2.5 times slowed down" in other[1]
    assert read_state("edge", replace(RUNTIME, slowdown=2.5), None, Power(1.0, 1.0)).slowdown == 2.5


def test_state_of_this_server():
    state = read_state("edge", RUNTIME, None, POWER)
    assert (state.name, state.power) == ("edge", POWER)
    assert (state.fingerprint, state.description) == fingerprint(RUNTIME)
    assert 0 < state.available_memory_bytes <= state.memory_bytes <= psutil.virtual_memory().total
    assert 0 <= state.load <= 1
    assert state.machine == read_state("cloud", RUNTIME, None, POWER).machine


def test_a_configured_memory_is_what_may_hold_weights():
    state = read_state("device", RUNTIME, 1_000_000, POWER)
    assert state.memory_bytes == 1_000_000
    assert state.available_memory_bytes <= 1_000_000


def test_limits_of_a_container_are_respected(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("100000000\n")
    (tmp_path / "memory.current").write_text("60000000\n")
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    monkeypatch.setattr(container, "_CGROUP", tmp_path)
    state = read_state("device", RUNTIME, None, POWER)
    assert state.memory_bytes == 100_000_000
    assert state.available_memory_bytes <= 40_000_000
    assert usable_cores() == 0.5


def test_a_container_without_limits(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "cpu.max").write_text("max 100000\n")
    monkeypatch.setattr(container, "_CGROUP", tmp_path)
    assert read_state("device", RUNTIME, None, POWER).memory_bytes == psutil.virtual_memory().total
    assert usable_cores() >= 1
