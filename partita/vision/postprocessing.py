"""From a model's outputs to what is in the image."""

from collections.abc import Mapping

from core.tensors import Array
from partita.vision import text, yolo
from partita.vision.found import Found
from partita.vision.letterbox import Letterbox
from partita.vision.model import VisionModel
from partita.vision.thresholds import Thresholds


def read(
    model: VisionModel, outputs: Mapping[str, Array], letterbox: Letterbox, thresholds: Thresholds | None = None
) -> Found:
    """What a model found in the image that ``letterbox`` leads back to.

    Args:
        thresholds: what counts as found; the task's usual ones where they are left out.

    Raises:
        InvalidModelError: the outputs are not those of the task.
    """
    used = thresholds or (text.TEXT_THRESHOLDS if model.task == "text" else Thresholds())
    if model.task == "classify":
        return yolo.classes(model, outputs, used)
    if model.task == "text":
        return text.texts(model, outputs, letterbox, used)
    return yolo.objects(model, outputs, letterbox, used)
