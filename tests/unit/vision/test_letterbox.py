"""Letterboxing: there and back is where one was."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from partita.vision.letterbox import Letterbox

SIZES = st.tuples(st.integers(1, 4000), st.integers(1, 4000))
INPUTS = st.tuples(st.integers(32, 1280), st.integers(32, 1280))


@given(SIZES, INPUTS, st.booleans(), st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=5))
def test_boxes_come_back_where_they_were(image, into, centered, parts):
    letterbox = Letterbox.fitting(image, into, centered)
    boxes = np.array(parts).reshape(-1, 4) * [*image, *image]
    within = letterbox.to_input(boxes)
    assert within.shape == boxes.shape
    assert (within > -1e-6).all()
    assert (within < np.array([*into, *into]) + 1e-6).all()
    np.testing.assert_allclose(letterbox.to_image(within), boxes, atol=1e-6 * max(image))


@given(SIZES, INPUTS, st.booleans())
def test_an_image_fits_its_input_as_large_as_can_be(image, into, centered):
    letterbox = Letterbox.fitting(image, into, centered)
    gaps = np.array(into) - letterbox.scaled
    assert (gaps >= 0).all()
    assert gaps.min() == 0
    assert (np.array(letterbox.offset) == (gaps // 2 if centered else 0)).all()


def test_points_in_the_padding_move_to_the_images_edge():
    letterbox = Letterbox.fitting((200, 100), (64, 64))
    assert letterbox.to_image(np.array([[0.0, 0.0, 64.0, 64.0]])).tolist() == [[0, 0, 200, 100]]


def test_no_boxes_are_no_boxes():
    letterbox = Letterbox.fitting((200, 100), (64, 64))
    assert letterbox.to_image(np.zeros((0, 4))).shape == (0, 4)
    assert letterbox.to_image(np.zeros((0, 4, 2))).shape == (0, 4, 2)


@pytest.mark.parametrize(("centered", "top"), [(True, 16), (False, 0)])
def test_what_the_image_leaves_is_grey(centered, top):
    filled = np.asarray(Letterbox.fitting((128, 64), (64, 64), centered).fill(Image.new("RGB", (128, 64), "red"), 114))
    assert (filled[top : top + 32] == (255, 0, 0)).all()
    assert (np.delete(filled, np.s_[top : top + 32], axis=0) == 114).all()
