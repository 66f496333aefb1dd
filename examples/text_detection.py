"""Finding text in an image with PP-OCRv4's detection model (Apache-2.0), which comes with rapidocr-onnxruntime.

The model's own post-processing imports OpenCV, which needs libGL; the few steps that are needed
(differentiable binarisation: threshold, boxes, score, grow) are done with scikit-image and shapely here.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from shapely.geometry import MultiPoint, Polygon
from skimage import data
from skimage.measure import label, regionprops

SIDE = 640
"""Width and height of the model's input in pixels."""

INPUT, INPUT_SHAPE = "x", (1, 3, SIDE, SIDE)

THRESHOLD, BOX_THRESHOLD, UNCLIP_RATIO, LEAST_SIDE = 0.3, 0.5, 1.6, 3
"""PP-OCR's defaults: of a pixel, of a box's mean; how far a box grows; its least height in pixels."""


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


def to_input(image: Image.Image) -> dict[str, NDArray[np.float32]]:
    """The model's inputs: blue, green, red from −1 to 1, float32 1x3x640x640, white where the image ends."""
    square = Image.new("RGB", (SIDE, SIDE), "white")
    square.paste(image)
    pixels = np.asarray(square, np.float32)[:, :, ::-1] / 127.5 - 1
    return {INPUT: np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])}


def text_boxes(probabilities: NDArray[np.float32]) -> list[list[tuple[float, float]]]:
    """Corners of the text boxes in the model's output, float32 1x1x640x640: each pixel's probability of text."""
    boxes = []
    for region in regionprops(label(probabilities[0, 0] > THRESHOLD), intensity_image=probabilities[0, 0]):
        tight = MultiPoint(region.coords[:, ::-1] + 0.5).minimum_rotated_rectangle
        if not isinstance(tight, Polygon) or region.intensity_mean < BOX_THRESHOLD:
            continue
        grown = tight.buffer(tight.area * UNCLIP_RATIO / tight.length).minimum_rotated_rectangle
        if min(region.bbox[2] - region.bbox[0], region.bbox[3] - region.bbox[1]) >= LEAST_SIDE:
            boxes.append([(float(x), float(y)) for x, y in grown.exterior.coords[:-1]])
    return boxes


def draw_boxes(image: Image.Image, boxes: list[list[tuple[float, float]]]) -> Image.Image:
    """A copy of the image with the boxes outlined."""
    drawn = image.copy()
    pen = ImageDraw.Draw(drawn)
    for box in boxes:
        pen.line([*box, box[0]], fill="#D55E00", width=2)
    return drawn
