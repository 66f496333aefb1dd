"""From an image to a model's input."""

import numpy as np
from PIL import Image

from core.tensors import Array
from partita.vision.letterbox import Letterbox
from partita.vision.model import VisionModel


def prepare(model: VisionModel, image: Image.Image) -> tuple[dict[str, Array], Letterbox]:
    """The inputs that a model takes for an image, and the way back from its coordinates to the image's."""
    picture = image if image.mode == "RGB" else image.convert("RGB")
    if model.task == "classify":
        fitted = _middle(picture, model.size)
        letterbox = Letterbox.fitting(fitted.size, model.size)
    else:
        letterbox = Letterbox.fitting(picture.size, model.size, model.layout.centered)
        fitted = letterbox.fill(picture, model.layout.padding)
    levels = np.asarray(fitted, np.float32)
    if model.layout.channels == "BGR":
        levels = levels[:, :, ::-1]
    mean, deviation = (np.asarray(figure, np.float32) for figure in (model.layout.mean, model.layout.deviation))
    values = (levels - mean) / deviation
    array = np.ascontiguousarray(values.transpose(2, 0, 1)[None], dtype=model.input.dtype)
    return {model.input.name: array}, letterbox


def _middle(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of an image, as large as can be, scaled to ``size``: what classifiers are trained on."""
    scale = max(size[0] / image.width, size[1] / image.height)
    scaled = image.resize(
        (max(size[0], round(image.width * scale)), max(size[1], round(image.height * scale))),
        Image.Resampling.BILINEAR,
    )
    left, top = (scaled.width - size[0]) // 2, (scaled.height - size[1]) // 2
    return scaled.crop((left, top, left + size[0], top + size[1]))
