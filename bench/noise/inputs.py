"""Photographed and printed text as inputs of the text detector."""

from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidArgumentError
from core.tensors import Array

INPUT = "x"
"""Name of the detector's input."""


def text_inputs(count: int, side: int, seed: int) -> list[dict[str, Array]]:
    """Seeded random cut-outs of two scans of text that scikit-image brings along, float32 1 × 3 × side × side.

    Raises:
        InvalidArgumentError: scikit-image is not installed.
    """
    if find_spec("skimage") is None:
        raise InvalidArgumentError("this bench needs scikit-image; install it with `pip install 'partita[demo]'`")
    from skimage import data
    from skimage.transform import resize

    random = np.random.default_rng(seed)
    scans = (data.page(), data.text())
    inputs: list[dict[str, Array]] = []
    for number in range(count):
        scan: NDArray[np.uint8] = scans[number % len(scans)]
        edge = int(min(scan.shape) * random.uniform(0.6, 1))
        top, left = (int(random.integers(0, size - edge + 1)) for size in scan.shape)
        grey = resize(scan[top : top + edge, left : left + edge], (side, side)).astype(np.float32) * 2 - 1
        inputs.append({INPUT: np.ascontiguousarray(np.broadcast_to(grey, (1, 3, side, side)))})
    return inputs
