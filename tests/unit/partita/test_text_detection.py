import numpy as np
from PIL import Image

from examples.text_detection import MODEL, SIDE, draw_text, find_text, page, to_input


def test_inputs_are_what_the_model_takes() -> None:
    image = Image.new("RGB", (SIDE, 320), (255, 0, 0))
    pixels = to_input(image)["x"]
    assert (pixels.dtype, pixels.shape) == (np.dtype(np.float32), (1, 3, SIDE, SIDE))
    # Blue, green, red; white beyond the image.
    np.testing.assert_array_equal(pixels[0, :, 0, 0], [-1, -1, 1])
    np.testing.assert_array_equal(pixels[0, :, 320, 10], [1, 1, 1])


def test_lines_are_found_and_drawn_on_a_copy() -> None:
    probabilities = np.zeros((1, 1, SIDE, SIDE), np.float32)
    probabilities[0, 0, 100:120, 50:250] = 0.9
    scan = page()
    before = scan.tobytes()
    found = find_text(scan, {MODEL.outputs[0].name: probabilities})
    drawn = draw_text(scan, found)
    assert len(found) == 1
    assert drawn.size == scan.size
    assert drawn.tobytes() != before
    assert scan.tobytes() == before
