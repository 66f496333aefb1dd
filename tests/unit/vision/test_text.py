"""Boxes of text out of a map of probabilities."""

import numpy as np
import pytest

from core.errors import InvalidModelError
from core.tensors import TensorSpec
from partita.vision.found import described
from partita.vision.letterbox import Letterbox
from partita.vision.model import vision_model
from partita.vision.text import TEXT_THRESHOLDS, text_boxes, texts
from partita.vision.thresholds import Thresholds

MODEL = vision_model(
    [TensorSpec("x", "float32", (1, 3, 100, 200))], [TensorSpec("maps", "float32", (1, 1, 100, 200))], {}, task="text"
)
TWICE = Letterbox.fitting((400, 200), (200, 100), centered=False)


def lines() -> np.ndarray:
    probabilities = np.zeros((1, 1, 100, 200), np.float32)
    probabilities[0, 0, 20:30, 40:140] = 0.8
    probabilities[0, 0, 60:70, 40:100] = 0.9
    probabilities[0, 0, 80:90, 40:100] = 0.4
    probabilities[0, 0, 5:7, 5:7] = 1.0
    return probabilities


def test_lines_of_text_get_a_box_each_in_the_images_own_pixels():
    found = texts(MODEL, {"maps": lines()}, TWICE, TEXT_THRESHOLDS)
    first, second = described(MODEL, found)
    assert [first["score"], second["score"]] == pytest.approx([0.9, 0.8])
    assert first["name"] == "text"
    left, top, right, bottom = second["box"]
    assert 40 < left < 80 < 280 < right < 320
    assert 10 < top < 40 < 60 < bottom < 90
    corners = np.array(second["corners"])
    assert corners.min(0) == pytest.approx([left, top])
    assert corners.max(0) == pytest.approx([right, bottom])


def test_a_turned_line_gets_a_turned_box():
    rows, columns = np.mgrid[:100, :200]
    probabilities = np.where(np.abs(rows - columns / 2 - 10) < 4, 0.9, 0).astype(np.float32)
    ((box,), _) = text_boxes(probabilities)
    edges = np.diff(box, axis=0)
    longest = edges[np.hypot(*edges.T).argmax()]
    assert abs(longest[1] / longest[0]) == pytest.approx(0.5, abs=0.03)


def test_the_threshold_and_the_count_decide():
    assert len(texts(MODEL, {"maps": lines()}, TWICE, Thresholds(score=0.35))) == 3
    assert len(texts(MODEL, {"maps": lines()}, TWICE, Thresholds(score=0.35, count=1))) == 1
    assert len(texts(MODEL, {"maps": lines() * 0}, TWICE, Thresholds())) == 0


def test_other_outputs_are_refused():
    model = vision_model([MODEL.input], [TensorSpec("y", "float32", (1, 5))], {}, task="text")
    with pytest.raises(InvalidModelError, match="text detector"):
        texts(model, {"y": np.zeros((1, 5), np.float32)}, TWICE, Thresholds())


@pytest.mark.parametrize("width", [1, 200])
def test_boxes_of_degenerate_regions_are_left_out(width):
    probabilities = np.zeros((100, 200), np.float32)
    probabilities[7, :width] = 0.9
    boxes, scores = text_boxes(probabilities)
    assert (boxes.shape, scores.shape) == ((0, 4, 2), (0,))
