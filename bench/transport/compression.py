"""Tensors sent as they are and compressed: what the planner would choose, and whether that was sooner."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.graph import ModelGraph, Tensor
from core.problem import Compression, Link, Problem, Server
from core.tensors import Array

_VALUES = 300_000


def tensors() -> dict[str, Array]:
    """Values of the kinds that cross in models, by kind."""
    dice = np.random.default_rng(0)
    across = np.sin(np.linspace(0, 40, _VALUES)) + 0.3 * dice.standard_normal(_VALUES)
    picture = np.clip(np.rint(127 + 100 * np.sin(np.linspace(0, 40, _VALUES)) + dice.integers(-3, 4, _VALUES)), 0, 255)
    return {
        "picture in float": (picture / 255).astype(np.float32),
        "after ReLU": np.maximum(0, across).astype(np.float32),
        "dense": dice.standard_normal(_VALUES).astype(np.float32),
        "int8": np.clip(np.rint(across * 40 + 128), 0, 255).astype(np.uint8),
    }


@dataclass(frozen=True)
class Sent:
    """One kind of tensor on one link.

    Attributes:
        byte_count: of the tensor.
        known: what compressing it brings, as the planner knows it.
        plain: seconds there and back of each transfer, as it is.
        compressed: the same, compressed.
    """

    byte_count: int
    known: Compression
    plain: tuple[float, ...]
    compressed: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """How many times as long it takes as it is."""
        return statistics.median(self.plain) / statistics.median(self.compressed)

    def chosen(self, measured: Mapping[int, Sequence[float]]) -> bool:
        """Whether the planner has it compressed on a link.

        Args:
            measured: bytes → seconds there and back of tensors on this link.
        """
        medians = {size: statistics.median(seconds) for size, seconds in sorted(measured.items())}
        (small, round_trip), *others = medians.items()
        knots: list[tuple[float, float]] = []
        for size, seconds in others:
            # Round trips apart, as the link's monitor measures it: more bytes take no less time.
            knots.append((float(size - small), max(seconds, knots[-1][1] if knots else round_trip)))
        rate = (knots[-1][0]) / max(1e-9, knots[-1][1] - round_trip)
        tensor = Tensor("x", self.byte_count, None, (None,))
        problem = Problem(
            ModelGraph("x", (), (tensor,)),
            (Server("here"), Server("there")),
            (Link("here", "there", rate, round_trip, tuple(knots)),),
            {},
            compression={"x": self.known},
        )
        return problem.compression_gain(tensor, "here", "there", False) > 0
