"""Where tensors of a version go."""

import numpy as np

from core.buffers import Bytes
from core.deployment import FRONT_END, Component, DeploymentVersion, Division, Target, memory_towards

ONE = Component(0, "edge", "b0", (), (), {"y": (FRONT_END, 1, 2, 3), "z": (1,)}, compressed={"y": ("device", "cloud")})
TWO, THREE, FOUR = (
    Component(number, server, "b", (), (), {}) for number, server in enumerate(("edge", "cloud", "cloud"), 1)
)
VERSION = DeploymentVersion(
    "app",
    1,
    "plan",
    Division("m", (), (), {"x": (0, 2, 3), "w": (FRONT_END,)}, (ONE, TWO, THREE, FOUR), "w", {"x": ("edge",)}),
    "device",
    {"edge": "edge:1", "cloud": "cloud:1"},
    "device:1",
)


def test_inputs_go_to_each_server_once() -> None:
    assert list(VERSION.input_targets("x")) == [
        Target("edge", "edge:1", False, True),
        Target("cloud", "cloud:1", False, False),
    ]
    # The FrontEnd has it already.
    assert not list(VERSION.input_targets("w"))
    assert not list(VERSION.input_targets("unknown"))


def test_outputs_go_to_the_front_end_and_to_each_other_server_once() -> None:
    assert list(VERSION.output_targets(ONE, "y")) == [
        Target("device", "device:1", True, True),
        Target("cloud", "cloud:1", False, True),
    ]
    assert not list(VERSION.output_targets(ONE, "z"))


def test_memory_is_of_the_first_target_that_has_some_and_gets_it_as_it_is() -> None:
    memory = np.empty(8, np.uint8)
    asked: list[tuple[str, str, int]] = []

    def memory_for(server: str, address: str, byte_count: int) -> Bytes | None:
        asked.append((server, address, byte_count))
        return memory if server == "c" else None

    targets = [Target(name, f"{name}:1", False, name == "a") for name in "abcd"]
    assert memory_towards(targets, memory_for, 8) is memory
    assert asked == [("b", "b:1", 8), ("c", "c:1", 8)]
    assert memory_towards(targets[:2], memory_for, 8) is None
