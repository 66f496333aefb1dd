"""From a text detector's output to boxes: differentiable binarisation (Liao et al. 2020), with PP-OCR's parameters."""

from collections.abc import Mapping

import numpy as np
import supervision as sv
from numpy.typing import NDArray
from scipy import ndimage
from shapely.geometry import MultiPoint, Polygon

from core.errors import InvalidModelError
from core.tensors import Array
from partita.vision.letterbox import Letterbox
from partita.vision.model import VisionModel
from partita.vision.thresholds import Thresholds

PIXEL_THRESHOLD, UNCLIP_RATIO, LEAST_SIDE = 0.3, 1.6, 3
"""From which probability on a pixel is text; how far a box grows; its least height and width in pixels."""

TEXT_THRESHOLDS = Thresholds(score=0.5, count=1000)
"""A box counts from the mean probability 0.5 of its pixels."""


def texts(
    model: VisionModel, outputs: Mapping[str, Array], letterbox: Letterbox, thresholds: Thresholds
) -> sv.Detections:
    """The boxes of text, the surest first, turned as the text is, in pixels of the original image.

    Raises:
        InvalidModelError: the model's output is no map of probabilities.
    """
    shape = (1, 1, *model.input.shape[2:])
    if [spec.shape for spec in model.outputs] != [shape]:
        given = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in model.outputs)
        raise InvalidModelError(f"the model gives {given}, but a text detector gives one output {list(shape)}")
    boxes, scores = text_boxes(outputs[model.outputs[0].name][0, 0].astype(np.float32), thresholds.score)
    order = np.argsort(-scores, kind="stable")[: thresholds.count]
    corners = letterbox.to_image(boxes[order]).astype(np.float32)
    return sv.Detections(
        xyxy=np.concatenate([corners.min(1), corners.max(1)], axis=1) if len(corners) else np.zeros((0, 4), np.float32),
        confidence=scores[order],
        class_id=np.zeros(len(order), int),
        data={"class_name": np.array(["text"] * len(order)), "xyxyxyxy": corners},
    )


def text_boxes(
    probabilities: NDArray[np.float32], least_score: float = TEXT_THRESHOLDS.score
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners (boxes×4×2, x and y in pixels) and scores of the text boxes in a map of probabilities per pixel."""
    regions, count = ndimage.label(probabilities > PIXEL_THRESHOLD, np.ones((3, 3)))
    boxes, scores = [], []
    for index, part in enumerate(ndimage.find_objects(regions, count), 1):
        inside = regions[part] == index
        score = float(probabilities[part][inside].mean())
        rows, columns = np.nonzero(inside)
        points = np.column_stack([columns + part[1].start, rows + part[0].start])
        tight = MultiPoint(points + 0.5).minimum_rotated_rectangle
        if min(inside.shape) < LEAST_SIDE or score < least_score or not isinstance(tight, Polygon):
            continue
        grown = tight.buffer(tight.area * UNCLIP_RATIO / tight.length).minimum_rotated_rectangle
        boxes.append(np.array(grown.exterior.coords)[:4])
        scores.append(score)
    return np.reshape(boxes, (-1, 4, 2)), np.array(scores, float)
