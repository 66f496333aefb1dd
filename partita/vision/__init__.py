"""Pictures in, pictures out: classification, detection, segmentation and text detection with deployed models.

    from partita.vision import Vision, read_image

    vision = Vision(client.deployment("app"))
    street = read_image("street.jpg")
    found = vision.find(street)
    vision.annotate(street, found).save("found.jpg")

Needs the extra ``vision``. Results are those of the library ``supervision``: ``Detections`` and ``Classifications``.
"""

from partita.vision.files import image_paths, read_image
from partita.vision.found import Found, annotated, described
from partita.vision.letterbox import Letterbox
from partita.vision.model import InputLayout, Task, VisionModel, vision_model
from partita.vision.postprocessing import read
from partita.vision.preprocessing import prepare
from partita.vision.samples import picture_samples
from partita.vision.thresholds import Thresholds
from partita.vision.video import frames, video_info
from partita.vision.vision import Vision

__all__ = [
    "Found",
    "InputLayout",
    "Letterbox",
    "Task",
    "Thresholds",
    "Vision",
    "VisionModel",
    "annotated",
    "described",
    "frames",
    "image_paths",
    "picture_samples",
    "prepare",
    "read",
    "read_image",
    "video_info",
    "vision_model",
]
