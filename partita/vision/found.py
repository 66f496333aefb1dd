"""What was found in an image: as the results of ``supervision``, as plain data, and drawn."""

from typing import Any, TypeAlias

import numpy as np
import supervision as sv
from PIL import Image

from partita.vision.model import VisionModel

Found: TypeAlias = sv.Detections | sv.Classifications
"""Objects with boxes (and masks, and corners where they are turned), or classes of the whole image."""

DARK = 110.0
"""Letters are white on colours below this luminance, of 255."""


def described(model: VisionModel, found: Found) -> list[dict[str, Any]]:
    """What was found as plain JSON data: class, name and score; ``box`` is left, top, right and bottom in pixels.

    Masks come as ``polygons``, turned boxes as ``corners``: lists of x and y.
    """
    if found.class_id is None or found.confidence is None:
        return []
    items: list[dict[str, Any]] = [
        {"class": int(index), "name": model.name(int(index)) if model.task != "text" else "text", "score": float(score)}
        for index, score in zip(found.class_id, found.confidence, strict=True)
    ]
    if isinstance(found, sv.Classifications):
        return items
    for index, item in enumerate(items):
        item["box"] = found.xyxy[index].tolist()
        if found.mask is not None:
            item["polygons"] = [polygon.tolist() for polygon in sv.mask_to_polygons(found.mask[index])]
        if "xyxyxyxy" in found.data:
            item["corners"] = np.asarray(found.data["xyxyxyxy"][index]).tolist()
    return items


def annotated(model: VisionModel, image: Image.Image, found: Found) -> Image.Image:
    """A copy of the image, RGB, with what was found drawn into it."""
    drawn = image.convert("RGB")
    lines = sv.calculate_optimal_line_thickness(drawn.size)
    letters = sv.RichLabelAnnotator(
        text_color=_letter_colours(),
        font_size=max(12, round(min(drawn.size) / 45)),
        text_padding=max(2, lines),
        smart_position=True,
    )
    if isinstance(found, sv.Classifications):
        shown = sv.Detections(np.tile([0.0, 0.0, *drawn.size], (1, 1)), class_id=found.class_id[:1])
        label = "\n".join(f"{item['name']} {item['score']:.2f}" for item in described(model, found)[:5])
        return letters.annotate(drawn, shown, [label])
    if found.mask is not None:
        drawn = sv.MaskAnnotator(opacity=0.4).annotate(drawn, found)
        drawn = sv.PolygonAnnotator(thickness=lines).annotate(drawn, found)
    elif "xyxyxyxy" in found.data:
        return sv.OrientedBoxAnnotator(thickness=lines).annotate(drawn, found)
    else:
        drawn = sv.BoxAnnotator(thickness=lines).annotate(drawn, found)
    return letters.annotate(drawn, found, [f"{item['name']} {item['score']:.2f}" for item in described(model, found)])


def _letter_colours() -> sv.ColorPalette:
    """For each colour of the labels, the one that can be read on it; luminance as in ITU-R BT.601."""
    luminances = (0.299 * colour.r + 0.587 * colour.g + 0.114 * colour.b for colour in sv.ColorPalette.DEFAULT.colors)
    return sv.ColorPalette([sv.Color.WHITE if luminance < DARK else sv.Color.BLACK for luminance in luminances])
