"""What a tensor must look like, and the check that an array does."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidTensorError

Array = NDArray[np.generic]
"""Any numpy array that travels as a tensor."""

DTYPES = frozenset(
    "float32 float64 float16 int8 uint8 int16 uint16 int32 uint32 int64 uint64 bool".split()  # noqa: SIM905
)
"""The numpy dtype names that tensors may have."""


@dataclass(frozen=True)
class TensorSpec:
    """Name, numpy dtype name and fixed shape of a tensor."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def byte_count(self) -> int:
        """Size of the tensor's data in bytes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def check(self, array: Array) -> None:
        """Refuse an array that is not what this specification says.

        Raises:
            InvalidTensorError: dtype or shape differ.
        """
        self.check_same(TensorSpec(self.name, array.dtype.name, array.shape))

    def check_same(self, given: "TensorSpec") -> None:
        """Refuse a tensor of another dtype or shape.

        Raises:
            InvalidTensorError: dtype or shape differ.
        """
        if (given.dtype, given.shape) != (self.dtype, self.shape):
            raise InvalidTensorError(
                f"tensor {self.name!r} is {given.dtype}{list(given.shape)}, "
                f"but {self.dtype}{list(self.shape)} is required; convert or resize it before sending"
            )


def check_spec(specs: Sequence[TensorSpec], given: TensorSpec) -> None:
    """Refuse a tensor that is not among ``specs``, before any of it has arrived.

    Raises:
        InvalidTensorError: its name is unknown, or its dtype or shape differs.
    """
    wanted = {spec.name: spec for spec in specs}
    if given.name not in wanted:
        raise InvalidTensorError(
            f"input {given.name!r} was given, but the model takes {sorted(wanted)}; give exactly those names"
        )
    wanted[given.name].check_same(given)


def check_inputs(specs: Sequence[TensorSpec], arrays: Mapping[str, Array]) -> None:
    """Refuse inputs whose names, dtypes or shapes differ from ``specs``.

    Raises:
        InvalidTensorError: a name is missing or unknown, or a dtype or shape differs.
    """
    wanted = {spec.name: spec for spec in specs}
    if wanted.keys() != arrays.keys():
        raise InvalidTensorError(
            f"inputs named {sorted(arrays)} were given, but the model takes {sorted(wanted)}; give exactly those names"
        )
    for name, array in arrays.items():
        wanted[name].check(array)
