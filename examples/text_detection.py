"""Finding text in an image with PP-OCRv4's detection model (Apache-2.0), which comes with rapidocr-onnxruntime."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from core.tensors import Array, TensorSpec
from partita.vision import Found, annotated, prepare, read, vision_model

SIDE = 640
"""Width and height of the model's input in pixels."""

INPUT, INPUT_SHAPE = "x", (1, 3, SIDE, SIDE)

MODEL = vision_model(
    [TensorSpec(INPUT, "float32", INPUT_SHAPE)],
    [TensorSpec("sigmoid_0.tmp_0", "float32", (1, 1, SIDE, SIDE))],
    {},
    task="text",
)
"""What the file does not say of itself: that it finds text."""


def model_path() -> Path:
    """Where the installed package keeps the model; found without importing the package."""
    spec = find_spec("rapidocr_onnxruntime")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("rapidocr-onnxruntime is not installed; make install brings it")
    return Path(spec.submodule_search_locations[0]) / "models" / "ch_PP-OCRv4_det_infer.onnx"


def page() -> Image.Image:
    """A photographed page of text that scikit-image brings along, as wide as the model's input."""
    return _fitted(Image.fromarray(data.page()))


def photos() -> list[Image.Image]:
    """Pictures to calibrate int8 layers with, scaled as the page is: parts of scans, and scenes without text."""
    scenes = (data.coffee(), data.rocket(), data.astronaut(), data.chelsea())
    return [*_parts(12, seed=0), *(_fitted(Image.fromarray(scene)) for scene in scenes)]


def unseen_photos() -> list[Image.Image]:
    """Pictures like ``photos``, the page first among them, to try a plan on."""
    scenes = (data.clock(), data.coins())
    return [page(), *_parts(4, seed=1), *(_fitted(Image.fromarray(scene)) for scene in scenes)]


def _parts(count: int, seed: int) -> list[Image.Image]:
    """Rectangles out of two scans of text, two of one by two of the other, half to nine tenths as wide and high."""
    scans = [Image.fromarray(data.page()), Image.fromarray(data.text())]
    random = np.random.default_rng(seed)
    parts = []
    for index in range(count):
        scan = scans[index // 2 % len(scans)]
        sides = (np.array(scan.size) * random.uniform(0.5, 0.9, 2)).astype(int)
        left, top = random.integers(0, np.array(scan.size) - sides)
        parts.append(_fitted(scan.crop((left, top, left + sides[0], top + sides[1]))))
    return parts


def _fitted(picture: Image.Image) -> Image.Image:
    scale = SIDE / max(picture.size)
    size = round(picture.width * scale), round(picture.height * scale)
    return picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)


def to_input(image: Image.Image) -> dict[str, Array]:
    """The model's inputs: blue, green, red from −1 to 1, float32 1x3x640x640, white where the image ends."""
    return prepare(MODEL, image)[0]


def find_text(image: Image.Image, outputs: Mapping[str, Array]) -> Found:
    """The boxes of text in an image of which the model has given ``outputs``."""
    _, letterbox = prepare(MODEL, image)
    return read(MODEL, outputs, letterbox)


def draw_text(image: Image.Image, found: Found) -> Image.Image:
    """A copy of the image with the boxes of text outlined."""
    return annotated(MODEL, image, found)
