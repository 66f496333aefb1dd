"""From images to what is in them, with models whose answers are known."""

import numpy as np
import pytest
import supervision as sv
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidModelError
from core.tensors import TensorSpec
from partita.vision.found import described
from partita.vision.letterbox import Letterbox
from partita.vision.model import vision_model
from partita.vision.thresholds import Thresholds
from partita.vision.vision import Vision
from partita.vision.yolo import objects
from tests.unit.vision_models import WholeModel, finder, picture


@pytest.mark.parametrize("task", ["detect", "segment"])
@pytest.mark.parametrize(
    ("size", "red", "green"),
    [
        ((64, 64), (8, 16, 16, 24), (56, 56, 64, 64)),
        ((128, 64), (16, 0, 32, 16), (112, 48, 128, 64)),
        ((32, 64), (0, 56, 8, 64), (8, 0, 16, 8)),
    ],
)
def test_objects_are_found_where_they_are(task, size, red, green):
    vision = Vision(WholeModel(finder(task)))
    found = vision.find(picture(size, ("red", red), ("green", green)))
    assert isinstance(found, sv.Detections)
    assert {name: box.tolist() for name, box in zip(found.data["class_name"], found.xyxy, strict=True)} == {
        "red": list(red),
        "green": list(green),
    }
    assert found.confidence.min() > 0.9
    assert (found.mask is not None) == (task == "segment")


def test_masks_cover_the_objects():
    red, green = (64, 128, 96, 160), (224, 0, 256, 32)
    found = Vision(WholeModel(finder("segment"))).find(picture((256, 256), ("red", red), ("green", green)))
    masks = np.asarray(found.mask)
    assert masks.shape == (2, 256, 256)
    for mask, (left, top, right, bottom) in zip(masks, found.xyxy.astype(int), strict=True):
        # The prototypes are four times as coarse as the input: along the edge half of a pixel of theirs is uncertain.
        assert mask[top + 8 : bottom - 8, left + 8 : right - 8].all()
        assert mask.sum() == mask[top:bottom, left:right].sum() >= 16 * 16


def test_nothing_is_found_in_nothing():
    for task in ("detect", "segment"):
        vision = Vision(WholeModel(finder(task)))
        found = vision.find(picture((100, 50)))
        assert len(found) == 0
        assert described(vision.model, found) == []


def test_the_threshold_decides():
    image = picture((64, 64), ("red", (8, 8, 16, 12)))
    assert len(Vision(WholeModel(finder()), thresholds=Thresholds(score=0.4)).find(image)) == 0
    vision = Vision(WholeModel(finder()), thresholds=Thresholds(score=0.2))
    assert len(vision.find(image)) == 1


def test_classes_come_by_probability():
    vision = Vision(WholeModel(finder("classify")))
    found = vision.find(picture((256, 64), ("green", (96, 0, 160, 64))))
    assert isinstance(found, sv.Classifications)
    (best,) = described(vision.model, found)
    assert (best["name"], best["score"] > 0.9) == ("green", True)
    everything = Vision(WholeModel(finder("classify")), thresholds=Thresholds(score=0))
    assert [item["name"] for item in described(everything.model, everything.find(picture((64, 64))))] == [
        "red",
        "green",
    ]


def test_a_model_without_metadata_is_described_by_hand():
    vision = Vision(WholeModel(finder(metadata=False)), task="detect", names=["rouge", "vert"])
    found = vision.find(picture((64, 64), ("green", (0, 0, 8, 8))))
    assert described(vision.model, found) == [
        {"class": 1, "name": "vert", "score": pytest.approx(1), "box": [0, 0, 8, 8]}
    ]


@pytest.mark.parametrize(("task", "names"), [("classify", None), ("segment", None), ("detect", ["a", "b", "c"])])
def test_outputs_of_another_task_are_refused(task, names):
    with pytest.raises(InvalidModelError):
        Vision(WholeModel(finder()), task=task, names=names).find(picture((64, 64)))


ANCHOR = st.tuples(
    st.floats(0, 64, width=32),
    st.floats(0, 64, width=32),
    st.floats(1, 64, width=32),
    st.floats(1, 64, width=32),
    st.floats(0, 1, width=32),
    st.floats(0, 1, width=32),
)


UNCLIPPED = Letterbox(image=(400, 400), input=(64, 64), scaled=(400, 400), offset=(-100, -100))
"""Leaves every box whole and 100 pixels further right and down."""


@settings(max_examples=60)
@given(st.lists(ANCHOR, min_size=1, max_size=40), st.floats(0.1, 0.9), st.floats(0, 1))
def test_no_two_boxes_of_a_class_overlap_and_none_is_lost_without_a_better_one(anchors, overlap, score):
    raw = np.array(anchors, np.float32).T[None]
    model = vision_model(
        [TensorSpec("images", "float32", (1, 3, 64, 64))],
        [TensorSpec("output0", "float32", raw.shape)],
        {"task": "detect"},
    )
    found = objects(model, {"output0": raw}, UNCLIPPED, Thresholds(score, overlap))
    kept = list(zip(found.xyxy.astype(float), found.class_id, found.confidence, strict=True))
    for index, (box, label, _) in enumerate(kept):
        assert all(shared(box, other) <= overlap + 1e-4 for other, same, _ in kept[:index] if same == label)
    for x, y, width, height, *scores in anchors:
        box = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2]) + 100
        best = max(scores)
        if best >= score:
            assert any(
                label == int(np.argmax(scores)) and confidence >= best and shared(box, other) >= overlap - 1e-4
                for other, label, confidence in kept
            )
    assert list(found.confidence) == sorted(found.confidence, reverse=True)


def shared(left, right) -> float:
    """Intersection over union."""
    sides = np.minimum(left[2:], right[2:]) - np.maximum(left[:2], right[:2])
    common = max(sides[0], 0) * max(sides[1], 0)
    return common / (np.prod(left[2:] - left[:2]) + np.prod(right[2:] - right[:2]) - common)
