import numpy as np
import pytest
from PIL import Image

from examples.text_detection import SIDE, draw_boxes, page, text_boxes, to_input


def test_inputs_are_what_the_model_takes() -> None:
    image = Image.new("RGB", (10, 5), (255, 0, 0))
    pixels = to_input(image)["x"]
    assert (pixels.dtype, pixels.shape) == (np.dtype(np.float32), (1, 3, SIDE, SIDE))
    # Blue, green, red; white beyond the image.
    np.testing.assert_array_equal(pixels[0, :, 0, 0], [-1, -1, 1])
    np.testing.assert_array_equal(pixels[0, :, 5, 10], [1, 1, 1])


def test_a_line_of_text_gets_one_box_that_is_a_little_larger() -> None:
    probabilities = np.zeros((1, 1, SIDE, SIDE), np.float32)
    probabilities[0, 0, 100:120, 50:250] = 0.9
    probabilities[0, 0, 300:302, 50:52] = 0.35
    ((box),) = text_boxes(probabilities)
    across, down = zip(*box, strict=True)
    assert 20 < min(across) < 50 < 250 < max(across) < 280
    assert 70 < min(down) < 100 < 120 < max(down) < 150


def test_nothing_is_found_on_an_empty_page() -> None:
    assert text_boxes(np.zeros((1, 1, SIDE, SIDE), np.float32)) == []


def test_drawing_leaves_the_page_itself_alone() -> None:
    scan = page()
    before = scan.tobytes()
    drawn = draw_boxes(scan, [[(10, 10), (90, 10), (90, 40), (10, 40)]])
    assert drawn.size == scan.size
    assert drawn.tobytes() != before
    assert scan.tobytes() == before


@pytest.mark.parametrize("side", [1, SIDE])
def test_boxes_of_degenerate_regions_are_left_out(side) -> None:
    probabilities = np.zeros((1, 1, SIDE, SIDE), np.float32)
    probabilities[0, 0, 7, :side] = 0.9
    assert text_boxes(probabilities) == []
