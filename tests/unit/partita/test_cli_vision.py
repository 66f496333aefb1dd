from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from core.errors import InvalidArgumentError
from partita.cli.app import app
from partita.cli.vision import is_picture, summary, targets_in


@pytest.mark.parametrize("name", ["a.jpg", "b.PNG", "c.webp", "d.tiff", "folder"])
def test_images_and_folders_are_pictures(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    assert is_picture(str(tmp_path / name))


@pytest.mark.parametrize("text", ["a.npz", "x=a.npy", "model.onnx", "no-suffix", "street.mp4"])
def test_arrays_are_none(text: str) -> None:
    assert not is_picture(text)


def test_annotated_pictures_get_names_of_their_own(tmp_path: Path) -> None:
    paths = [Path("a/x.jpg"), Path("b/x.jpg"), Path("b/x.gif")]
    targets = targets_in(tmp_path / "new" / "folder", paths)
    assert [target.name for target in targets.values()] == ["x.jpg", "x-2.jpg", "x.png"]
    assert (tmp_path / "new" / "folder").is_dir()
    assert [target.name for target in targets_in(tmp_path, [Path("street.avi")], ".mp4").values()] == ["street.mp4"]
    assert targets_in(None, paths) == {}


def test_originals_are_never_written_over(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="another folder"):
        targets_in(tmp_path, [tmp_path / "x.jpg"])


def test_what_is_found_is_counted() -> None:
    assert summary([{"name": "car"}, {"name": "person"}, {"name": "person"}]) == "2 person, 1 car"
    assert summary([]) == "–"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to run"),
        (["a.jpg", "a.npz"], "each alone"),
        (["a.jpg", "--video", "street.mp4"], "each alone"),
        (["a.jpg", "--repeat", "2"], "for arrays"),
        (["a.jpg", "-o", "out.npz"], "for arrays"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["infer", "app", *arguments])
    assert isinstance(result.exception, InvalidArgumentError)
    assert message in str(result.exception)


def test_arrays_are_read_before_anything_is_sent(tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", np.arange(4))
    result = CliRunner().invoke(app, ["infer", "app", f"{tmp_path}/b.npy"])
    assert isinstance(result.exception, InvalidArgumentError)
