"""What is measured: a small trained model that comes in a package, or ONNX files of the user's."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from bench.prediction.models import detector
from core.errors import InvalidArgumentError
from core.tensors import Array, TensorSpec
from profilers.random_inputs import random_inputs

CALIBRATION, REQUESTED = 12, 3
"""Inputs that come with a model, and others that requests bring."""

QUICK_SIDE, FULL_SIDE = 480, 640
"""Height and width of the packaged model's input."""

Inputs = Callable[[Sequence[TensorSpec], int, int], list[dict[str, Array]]]
"""Makes so many inputs with a seed."""


@dataclass(frozen=True)
class ThesisModel:
    """A model to measure.

    Attributes:
        name: in tables; letters, digits, dashes, dots and underscores.
        description: in words, with its licence where it is known.
        data: the ONNX file.
        input_shapes: of inputs whose own shapes are not fixed.
        inputs: makes inputs of it.
    """

    name: str
    description: str
    data: bytes
    input_shapes: Mapping[str, tuple[int, ...]]
    inputs: Inputs

    @property
    def digest(self) -> str:
        """Name, shapes and content, for the identity of a run."""
        return f"{self.name} {dict(self.input_shapes)} {hashlib.sha256(self.data).hexdigest()}"


def packaged_model(quick: bool) -> ThesisModel:
    """PP-OCRv4 text detection (Apache-2.0), trained, out of rapidocr-onnxruntime.

    Raises:
        InvalidArgumentError: the package is not installed.
    """
    side = QUICK_SIDE if quick else FULL_SIDE

    def inputs(_: Sequence[TensorSpec], count: int, seed: int) -> list[dict[str, Array]]:
        return page_inputs(count, side, seed)

    words = f"PP-OCRv4 text detection (trained, Apache-2.0) on parts of a page, 1 × 3 × {side} × {side}"
    return ThesisModel("pp-ocrv4-det", words, detector(), {"x": (1, 3, side, side)}, inputs)


def page_inputs(count: int, side: int, seed: int) -> list[dict[str, Array]]:
    """Seeded random parts of a photographed page of text that scikit-image brings along, from −1 to 1.

    Raises:
        InvalidArgumentError: scikit-image is not installed.
    """
    if not _has_photos():
        raise InvalidArgumentError(
            "this model needs pages of text, which scikit-image has; install it with `pip install 'partita[demo]'`"
        )
    from skimage import data
    from skimage.transform import resize

    random = np.random.default_rng(seed)
    page = data.page()
    inputs: list[dict[str, Array]] = []
    for _ in range(count):
        edge = int(min(page.shape) * random.uniform(0.4, 1))
        top, left = (int(random.integers(0, size - edge + 1)) for size in page.shape)
        grey = resize(page[top : top + edge, left : left + edge], (side, side)).astype(np.float32) * 2 - 1
        inputs.append({"x": np.ascontiguousarray(np.broadcast_to(grey, (1, 3, side, side)))})
    return inputs


def file_model(path: Path, input_shapes: Mapping[str, tuple[int, ...]]) -> ThesisModel:
    """A model of the user's.

    Raises:
        OSError: the file cannot be read.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "-", path.stem)
    words = "a model of the user's, " + (
        "on photos where it takes pictures" if _has_photos() else "on random inputs, as scikit-image is not installed"
    )
    return ThesisModel(name, words, path.read_bytes(), input_shapes, picture_inputs)


def picture_inputs(specs: Sequence[TensorSpec], count: int, seed: int) -> list[dict[str, Array]]:
    """Parts of photos, red, green, blue from 0 to 1, where a model takes one picture of three channels; else noise."""
    picture = len(specs) == 1 and len(specs[0].shape) == 4 and specs[0].shape[:2] == (1, 3)
    if not picture or specs[0].dtype != "float32" or not _has_photos():
        return random_inputs(specs, count, seed)
    from skimage import data
    from skimage.transform import resize

    random = np.random.default_rng(seed)
    photos = (data.astronaut(), data.coffee(), data.chelsea(), data.rocket())
    found = []
    for number in range(count):
        photo = photos[number % len(photos)]
        edge = int(min(photo.shape[:2]) * random.uniform(0.6, 1))
        top, left = (int(random.integers(0, size - edge + 1)) for size in photo.shape[:2])
        part = resize(photo[top : top + edge, left : left + edge], specs[0].shape[2:]).astype(np.float32)
        found.append({specs[0].name: np.ascontiguousarray(part.transpose(2, 0, 1)[None])})
    return found


def _has_photos() -> bool:
    return find_spec("skimage") is not None
