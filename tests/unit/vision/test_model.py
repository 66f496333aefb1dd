"""What a model does: from its metadata, or as told."""

import pytest

from core.errors import InvalidArgumentError, InvalidModelError
from core.tensors import TensorSpec
from partita.vision.model import TEXT_LAYOUT, YOLO_LAYOUT, vision_model
from partita.vision.thresholds import Thresholds

IMAGE = TensorSpec("images", "float32", (1, 3, 480, 640))
OUTPUTS = (TensorSpec("output0", "float32", (1, 6, 100)),)


def test_exports_say_what_they_do():
    model = vision_model([IMAGE], OUTPUTS, {"task": "detect", "names": "{0: 'red', 1: 'green'}"})
    assert (model.task, model.names, model.layout) == ("detect", {0: "red", 1: "green"}, YOLO_LAYOUT)
    assert model.size == (640, 480)
    assert model.name(1) == "green"
    assert model.name(7) == "class 7"


def test_what_is_given_by_hand_counts():
    model = vision_model([IMAGE], OUTPUTS, {"task": "detect", "names": "?"}, task="text", names=["writing"])
    assert (model.task, model.names, model.layout) == ("text", {0: "writing"}, TEXT_LAYOUT)


@pytest.mark.parametrize("task", [None, "pose", ""])
def test_a_task_that_is_none_is_refused(task):
    with pytest.raises(InvalidArgumentError, match="classify, detect, segment, text"):
        vision_model([IMAGE], OUTPUTS, {"task": "pose"} if task else {}, task=task)


@pytest.mark.parametrize(
    "inputs",
    [
        [],
        [IMAGE, IMAGE],
        [TensorSpec("images", "float32", (2, 3, 64, 64))],
        [TensorSpec("images", "float32", (1, 64, 64, 3))],
        [TensorSpec("images", "uint8", (1, 3, 64, 64))],
    ],
)
def test_a_model_that_does_not_take_one_image_is_refused(inputs):
    with pytest.raises(InvalidModelError):
        vision_model(inputs, OUTPUTS, {"task": "detect"})


@pytest.mark.parametrize("names", ["", "[", "['red']", "{0: red}", "{'red': 0}", "1", "(" * 5000])
def test_names_that_cannot_be_read_are_refused(names):
    with pytest.raises(InvalidModelError, match="by hand"):
        vision_model([IMAGE], OUTPUTS, {"task": "detect", "names": names})


@pytest.mark.parametrize("figures", [{"score": -0.1}, {"score": 1.1}, {"overlap": 2}, {"count": 0}])
def test_thresholds_out_of_range_are_refused(figures):
    with pytest.raises(InvalidArgumentError):
        Thresholds(**figures)
