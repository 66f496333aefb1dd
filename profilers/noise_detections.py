"""Whether two runs of a detector find the same objects."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidArgumentError
from core.tensors import Array

_Floats = NDArray[np.float64]

LEAST_SCORE = 0.25
"""Detections of less are not looked at."""

SAME_OBJECT = 0.5
"""Boxes that overlap (intersection over union) by more are the same object."""

_MOST_BOXES = 300
_NO_BOXES = np.zeros((0, 4))


@dataclass(frozen=True)
class _Detections:
    """Boxes (left, top, right, bottom), best first, and their classes."""

    boxes: _Floats
    classes: NDArray[np.int64]


def detection_disagreement(expected: Mapping[str, Array], given: Mapping[str, Array]) -> float:
    """1 − F₁ of the detections, the float model's taken as true; 0 where neither finds anything.

    A detection is found again where one of the same class overlaps it by more than a half; each counts once. Read is
    the first output of one of these forms, others (masks, prototypes) are not looked at:

    - ``1 × (4 + classes + coefficients) × places``, the head of YOLOv8 and later: centre, width, height, a score for
      each class, and in segmentation as many mask coefficients as an output of four dimensions has channels.
      Overlapping detections of a class are reduced to the best.
    - ``1 × detections × 6``: left, top, right, bottom, score, class.

    Raises:
        InvalidArgumentError: no output has one of these forms.
    """
    wanted, found = _read(expected), _read(given)
    total = len(wanted.classes) + len(found.classes)
    return 1 - 2 * _matches(wanted, found) / total if total else 0.0


def _read(outputs: Mapping[str, Array]) -> _Detections:
    coefficients = next((array.shape[1] for array in outputs.values() if array.ndim == 4), 0)
    for array in outputs.values():
        if array.ndim == 3 and array.shape[0] == 1 and array.shape[2] == 6:
            rows = array[0].astype(np.float64)
            return _best(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64))
        if array.ndim == 3 and array.shape[0] == 1 and 5 + coefficients <= array.shape[1] < array.shape[2]:
            rows = array[0, : array.shape[1] - coefficients].T.astype(np.float64)
            scores = rows[:, 4:]
            centre, half = rows[:, :2], rows[:, 2:4] / 2
            return _best(np.hstack([centre - half, centre + half]), scores.max(axis=1), scores.argmax(axis=1))
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in outputs.items())
    raise InvalidArgumentError(
        f"noise measure 'detection-agreement' reads outputs of shape [1, 4 + classes, places] or [1, detections, 6], "
        f"but the model has {shapes}; choose another measure or name a function of yours as module:function"
    )


def _best(boxes: _Floats, scores: _Floats, classes: NDArray[np.int64]) -> _Detections:
    """Keep the best of those that overlap, and none without extent: non-maximum suppression within each class."""
    scores = np.where((boxes[:, 2:] > boxes[:, :2]).all(axis=1), scores, 0.0)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= LEAST_SCORE][:_MOST_BOXES]
    boxes, classes = boxes[order], classes[order]
    kept: list[int] = []
    for index in range(len(order)):
        rivals = [other for other in kept if classes[other] == classes[index]]
        if not rivals or _overlaps(boxes[index], boxes[rivals]).max() <= SAME_OBJECT:
            kept.append(index)
    return _Detections(boxes[kept] if kept else _NO_BOXES, classes[kept])


def _matches(wanted: _Detections, found: _Detections) -> int:
    """Count the detections found again, the best first, each matched with what overlaps it most."""
    free = np.ones(len(found.classes), np.bool_)
    count = 0
    for box, kind in zip(wanted.boxes, wanted.classes, strict=True):
        possible = np.flatnonzero(free & (found.classes == kind))
        if len(possible):
            overlaps = _overlaps(box, found.boxes[possible])
            if overlaps.max() > SAME_OBJECT:
                free[possible[overlaps.argmax()]] = False
                count += 1
    return count


def _overlaps(box: _Floats, others: _Floats) -> _Floats:
    """Intersection over union of a box with each of others."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = np.clip(sides, 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod() - common
    return np.asarray(common / np.maximum(areas, 1e-12))
