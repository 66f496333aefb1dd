"""Calibration samples as one file: a numpy archive with a tensor ``index/name`` for each input of each sample."""

import io
from collections.abc import Mapping, Sequence

import numpy as np

from core.errors import CorruptDataError
from core.tensors import Array

Sample = Mapping[str, Array]
"""One set of model inputs by name."""


def pack_samples(samples: Sequence[Sample]) -> bytes:
    """Write samples as the bytes of an ``.npz`` file."""
    buffer = io.BytesIO()
    named = {f"{index}/{name}": array for index, sample in enumerate(samples) for name, array in sample.items()}
    np.savez(buffer, allow_pickle=False, **named)
    return buffer.getvalue()


def unpack_samples(data: bytes) -> list[Sample]:
    """Read what ``pack_samples`` wrote.

    Raises:
        CorruptDataError: it is something else.
    """
    samples: dict[int, dict[str, Array]] = {}
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            for key in archive.files:
                index, _, name = key.partition("/")
                samples.setdefault(int(index), {})[name] = archive[key]
    except (ValueError, OSError, EOFError) as error:
        raise CorruptDataError(f"stored samples cannot be read: {error}; load the model again") from None
    return [samples[index] for index in sorted(samples)]
