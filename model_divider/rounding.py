"""The numbers of int8: scales, zero points and rounded weights. Only numpy."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.profiles import ActivationType, Range
from core.tensors import Array

_SMALLEST_SCALE = 1e-8  # of a tensor that is zero everywhere; two of them still multiply to a normal float32
_INT32_LIMIT = 2.0**31 - 1


class Rounded(NamedTuple):
    """``values`` ≈ (real − zero point) / scale; ``scale`` is a scalar, or has one entry per index of ``axis``."""

    values: Array
    scale: NDArray[np.float32]
    axis: int | None


def activation_parameters(seen: Range, kind: ActivationType) -> tuple[NDArray[np.float32], Array]:
    """Scale and zero point of an activation, both scalars; zero is always represented exactly.

    ``uint8`` spreads 0…255 over the range, ``int8`` spreads −127…127 symmetrically around zero.
    """
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    if kind == "int8":
        return np.array(max(max(-low, high) / 127, _SMALLEST_SCALE), np.float32), np.array(0, np.int8)
    scale = np.array(max((high - low) / 255, _SMALLEST_SCALE), np.float32)
    return scale, np.array(np.clip(np.rint(-low / scale), 0, 255), np.uint8)


def round_activation(values: NDArray[np.float32], seen: Range, kind: ActivationType) -> Array:
    """Round an activation as QuantizeLinear does."""
    scale, zero_point = activation_parameters(seen, kind)
    low, high = (0, 255) if kind == "uint8" else (-128, 127)
    rounded: Array = np.clip(np.rint(values / scale) + int(zero_point), low, high).astype(zero_point.dtype)
    return rounded


def round_weight(weight: Array, axis: int | None, smallest_scale: float | NDArray[np.float64] = 0.0) -> Rounded:
    """Round to symmetric int8, −127…127.

    Args:
        weight: float, any shape.
        axis: one scale per index of this axis, or one in all.
        smallest_scale: scales do not fall below this, so that a bias given in their steps fits int32.
    """
    others = None if axis is None else tuple(index for index in range(weight.ndim) if index != axis)
    largest = np.abs(weight.astype(np.float64)).max(axis=others, initial=0.0)
    scale = np.maximum(np.maximum(largest / 127, smallest_scale), _SMALLEST_SCALE).astype(np.float32)
    spread = scale if axis is None else scale.reshape([-1 if index == axis else 1 for index in range(weight.ndim)])
    return Rounded(np.clip(np.rint(weight / spread), -127, 127).astype(np.int8), scale, axis)


def smallest_weight_scale(
    bias: Array, input_scale: NDArray[np.float32], groups: int | None
) -> float | NDArray[np.float64]:
    """Least weight scale with which ``bias``, in steps of input scale × weight scale, fits int32.

    With ``groups`` there is one per channel of a group (ConvTranspose has several groups, all else one), else
    one in all.
    """
    needed = np.abs(bias.astype(np.float64)) / (input_scale * _INT32_LIMIT) * 1.001
    return float(needed.max(initial=0.0)) if groups is None else needed.reshape(groups, -1).max(axis=0)


def round_bias(bias: Array, scale: NDArray[np.float32]) -> Rounded:
    """Round a bias vector to int32 in steps of ``scale``, the product of input and weight scale."""
    steps = np.rint(bias.astype(np.float64) / scale)
    return Rounded(np.clip(steps, -_INT32_LIMIT, _INT32_LIMIT).astype(np.int32), scale, 0 if scale.ndim else None)
