from pathlib import Path

import numpy as np
import pytest

from core.errors import InvalidArgumentError, InvalidModelError
from partita.vision import Vision, picture_samples, prepare, read_image
from partita.vision.samples import MOST_SAMPLES
from tests.unit.vision_models import SIDE, WholeModel, finder, picture


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "finder.onnx"
    path.write_bytes(finder("segment").SerializeToString())
    return path


def test_pictures_are_prepared_as_requests_are(model: Path, tmp_path: Path) -> None:
    street = tmp_path / "street.png"
    picture((2 * SIDE, SIDE), ("red", (8, 8, 24, 24))).save(street)
    expected, _ = prepare(Vision(WholeModel(finder("segment"))).model, read_image(street))
    (sample,) = picture_samples(model, [street])
    np.testing.assert_array_equal(sample["images"], expected["images"])


def test_of_many_pictures_some_are_taken_evenly_spread(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    count = 2 * MOST_SAMPLES
    for index in range(count):
        picture((8, 8)).point(lambda _, grey=index: grey).save(folder / f"{index:03}.png")
    samples = picture_samples(model, [folder])
    greys = [round(float(sample["images"][0, 0, SIDE // 2, SIDE // 2]) * 255) for sample in samples]
    assert greys == list(range(0, count, 2))


def test_what_the_file_does_not_say_is_asked_for(tmp_path: Path) -> None:
    silent = finder(metadata=False)
    silent.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    path, street = tmp_path / "silent.onnx", tmp_path / "street.png"
    path.write_bytes(silent.SerializeToString())
    picture((8, 8)).save(street)
    with pytest.raises(InvalidArgumentError, match="--input-shape images="):
        picture_samples(path, [street])
    with pytest.raises(InvalidArgumentError, match="give its task"):
        picture_samples(path, [street], {"images": (1, 3, SIDE, SIDE)})
    assert len(picture_samples(path, [street], {"images": (1, 3, SIDE, SIDE)}, "detect")) == 1


def test_other_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("no model")
    picture((8, 8)).save(tmp_path / "street.png")
    with pytest.raises(InvalidModelError, match="not an ONNX model"):
        picture_samples(tmp_path / "model.onnx", [tmp_path / "street.png"])
