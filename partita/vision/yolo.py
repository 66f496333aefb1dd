"""From the raw outputs of YOLO models (v8 and 11) to what they found.

The first output is 1×(4 + classes + mask coefficients)×anchors: centre x, centre y, width and height in pixels of the
input, then a score from 0 to 1 for each class. Segmentation has a second one, 1×coefficients×height×width: prototypes,
of which each object's mask is a weighted sum (Bolya et al. 2019, YOLACT). Classifiers give 1×classes probabilities.
"""

from collections.abc import Mapping

import numpy as np
import supervision as sv
from numpy.typing import NDArray
from PIL import Image

from core.errors import InvalidModelError
from core.tensors import Array
from partita.vision.letterbox import Letterbox
from partita.vision.model import VisionModel
from partita.vision.thresholds import Thresholds

CANDIDATES = 2000
"""Most boxes that non-maximum suppression compares: the best by score."""


def classes(model: VisionModel, outputs: Mapping[str, Array], thresholds: Thresholds) -> sv.Classifications:
    """The classes whose probability reaches the threshold, the most probable first; at least that one.

    Raises:
        InvalidModelError: the outputs are not those of a classifier.
    """
    probabilities = _output(model, outputs, 2, "1×classes")[0]
    order = np.argsort(-probabilities, kind="stable")[: thresholds.count]
    kept = order[: max(1, int((probabilities[order] >= thresholds.score).sum()))]
    return sv.Classifications(kept, probabilities[kept])


def objects(
    model: VisionModel, outputs: Mapping[str, Array], letterbox: Letterbox, thresholds: Thresholds
) -> sv.Detections:
    """The objects found, the surest first, in pixels of the original image; with masks where the model segments.

    Raises:
        InvalidModelError: the outputs are not those of a raw YOLO export.
    """
    raw = _output(model, outputs, 3, "1×(4 + classes)×anchors")[0]
    prototypes = _output(model, outputs, 4, "1×coefficients×height×width")[0] if model.task == "segment" else None
    class_count = len(raw) - 4 - (len(prototypes) if prototypes is not None else 0)
    if class_count < 1 or (model.names and class_count != len(model.names)):
        raise InvalidModelError(
            f"the output has {len(raw)} rows, which leaves {class_count} classes, but {len(model.names)} have names; "
            "export the model with nms=False, or give its class names"
        )
    scores = raw[4 : 4 + class_count]
    best = scores.max(0)
    candidates = np.flatnonzero(best >= thresholds.score)
    candidates = candidates[np.argsort(-best[candidates], kind="stable")][:CANDIDATES]
    boxes = sv.xcycwh_to_xyxy(raw[:4, candidates].T).astype(np.float32)
    labels = scores[:, candidates].argmax(0)
    rows = np.column_stack([boxes, best[candidates], labels]).astype(np.float64)
    kept = np.flatnonzero(sv.box_non_max_suppression(rows, thresholds.overlap))[: thresholds.count]
    placed = letterbox.to_image(boxes[kept]).astype(np.float32)
    found = sv.Detections(
        xyxy=placed,
        confidence=best[candidates[kept]],
        class_id=labels[kept],
        data={"class_name": np.array([model.name(int(label)) for label in labels[kept]])},
    )
    if prototypes is not None and len(found):
        coefficients = raw[4 + class_count :, candidates[kept]]
        found.mask = _masks(np.tensordot(coefficients.T, prototypes, 1), placed, letterbox)
    return found


def _output(model: VisionModel, outputs: Mapping[str, Array], dimensions: int, layout: str) -> NDArray[np.float32]:
    """The first output of so many dimensions, as float32."""
    for spec in model.outputs:
        if len(spec.shape) == dimensions and spec.shape[0] == 1:
            return outputs[spec.name].astype(np.float32)
    given = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in model.outputs)
    raise InvalidModelError(f"the model gives {given}, but the task {model.task!r} needs {layout}; give another task")


def _masks(sums: NDArray[np.float32], boxes: NDArray[np.float32], letterbox: Letterbox) -> sv.CompactMask:
    """Masks in the original image's pixels: where the sum is positive, within the box."""
    width, height = letterbox.image
    # The part of the prototypes that shows the image and not its padding.
    scale = np.array(sums.shape[:0:-1]) / letterbox.input
    part = (*(letterbox.offset * scale), *((np.array(letterbox.offset) + letterbox.scaled) * scale))
    masks = []
    for values, box in zip(sums, boxes, strict=True):
        left, top, right, bottom = np.round(box).astype(int)
        enlarged = Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR, part)
        mask = np.zeros((1, height, width), bool)
        mask[0, top:bottom, left:right] = np.asarray(enlarged)[top:bottom, left:right] > 0
        masks.append(sv.CompactMask.from_dense(mask, box[None], (height, width)))
    return sv.CompactMask.merge(masks)
