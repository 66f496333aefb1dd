"""Inputs for models of which no real ones are at hand."""

from collections.abc import Sequence

import numpy as np

from core.tensors import Array, TensorSpec


def random_inputs(specs: Sequence[TensorSpec], count: int, seed: int) -> list[dict[str, Array]]:
    """Make ``count`` repeatable inputs: floats uniform in [0, 1), integers and booleans 0 or 1."""
    random = np.random.default_rng(seed)
    return [
        {
            spec.name: (
                random.random(spec.shape) if spec.dtype.startswith("float") else random.integers(0, 2, spec.shape)
            ).astype(spec.dtype)
            for spec in specs
        }
        for _ in range(count)
    ]
