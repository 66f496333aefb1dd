import numpy as np
import pytest

from core.errors import InvalidArgumentError
from partita.cli.infer import statistics_of
from partita.cli.inputs import read_inputs, read_samples
from tests.unit.vision_models import SIDE, finder, picture


def test_archives_and_named_arrays_come_together(tmp_path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones(2), y=np.zeros(3))
    np.save(tmp_path / "b.npy", np.arange(4))
    arrays = read_inputs([f"{tmp_path}/a.npz", f"z={tmp_path}/b.npy"])
    assert arrays.keys() == {"x", "y", "z"}
    np.testing.assert_array_equal(arrays["z"], np.arange(4))


def test_a_name_given_twice_is_refused(tmp_path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones(2))
    with pytest.raises(InvalidArgumentError, match="'x' is given twice"):
        read_inputs([f"{tmp_path}/a.npz", f"{tmp_path}/a.npz"])


@pytest.mark.parametrize("prefix", ["", "x="])
def test_other_files_are_refused_by_name(tmp_path, prefix) -> None:
    path = tmp_path / "text.npz"
    path.write_text("no numpy here")
    with pytest.raises(InvalidArgumentError, match=r"text\.npz"):
        read_inputs([f"{prefix}{path}"])


def test_an_array_without_a_name_is_refused(tmp_path) -> None:
    np.save(tmp_path / "b.npy", np.arange(4))
    with pytest.raises(InvalidArgumentError, match="NAME="):
        read_inputs([f"{tmp_path}/b.npy"])


def test_an_archive_given_under_a_name_is_refused(tmp_path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones(2))
    with pytest.raises(InvalidArgumentError, match="several"):
        read_inputs([f"x={tmp_path}/a.npz"])


def test_pickles_are_never_opened(tmp_path) -> None:
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InvalidArgumentError, match=r"evil\.npy"):
        read_inputs([f"x={tmp_path}/evil.npy"])


def test_figures_of_outputs() -> None:
    figures = statistics_of(np.array([[1.0, 3.0]], np.float32))
    assert figures == {"dtype": "float32", "shape": [1, 2], "min": 1.0, "max": 3.0, "mean": 2.0}
    assert statistics_of(np.empty((0, 2)))["max"] is None


def test_samples_are_archives_and_pictures_side_by_side(tmp_path) -> None:
    (tmp_path / "model.onnx").write_bytes(finder().SerializeToString())
    picture((2 * SIDE, SIDE)).save(tmp_path / "street.png")
    np.savez(tmp_path / "a.npz", images=np.ones(2))
    paths = [tmp_path / "street.png", tmp_path / "a.npz"]
    first, second = read_samples(tmp_path / "model.onnx", paths, {}, None)
    np.testing.assert_array_equal(first["images"], np.ones(2))
    assert second["images"].shape == (1, 3, SIDE, SIDE)
