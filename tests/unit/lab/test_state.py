from pathlib import Path

import pytest

from core.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from lab import state
from lab.lifecycle import reshape
from lab.state import Change, Lab
from lab.topology import Shape
from lab.topology_file import load_topology

TOPOLOGY = load_topology("thesis")


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "DIRECTORY", tmp_path / "labs")


def test_a_lab_is_found_again_as_it_is_now() -> None:
    state.reserve("one", TOPOLOGY)
    state.set_shaping("one", "relay")
    state.set_shape("one", Change("edge", "device", Shape(1e6, 0.1)))
    lab = state.load("one")
    assert lab.shaping == "relay"
    assert lab.topology.link("edge:device").shape == Shape(1e6, 0.1)
    assert lab.topology.link("device:edge") == TOPOLOGY.link("device:edge")


def test_labs_take_addresses_that_are_free() -> None:
    assert [state.reserve(name, TOPOLOGY).index for name in ("one", "two", "three")] == [0, 1, 2]
    state.forget("two")
    assert state.reserve("four", TOPOLOGY).index == 1
    assert state.names() == ["four", "one", "three"]


def test_a_name_that_is_taken_is_refused() -> None:
    state.reserve("one", TOPOLOGY)
    with pytest.raises(FailedPreconditionError, match="partita lab down --name one"):
        state.reserve("one", TOPOLOGY)


def test_a_lab_that_is_not_there() -> None:
    with pytest.raises(NotFoundError, match="no lab 'none' is up"):
        state.load("none")


@pytest.mark.parametrize("name", ["", "../etc", "a-b", "elevenchars", "A"])
def test_names_that_interfaces_cannot_have(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be a lab's name"):
        state.check_name(name)


def test_a_change_keeps_what_it_does_not_name() -> None:
    lab = Lab("one", 0, TOPOLOGY)
    assert reshape(lab, "device:edge", bytes_per_second=2e6) == Change("device", "edge", Shape(2e6, 0.0025))
    with pytest.raises(NotFoundError, match="no link 'device:moon'; there are device:edge, "):
        reshape(lab, "device:moon", bytes_per_second=2e6)
    with pytest.raises(InvalidArgumentError, match=r"jitter of 5 ms would exceed the delay of 2\.5 ms"):
        reshape(lab, "device:edge", jitter_seconds=0.005)
