"""Files and videos through a model, and what is drawn."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import supervision as sv
from PIL import Image

from core.errors import InvalidArgumentError, ServerUnavailableError
from partita.vision import Vision, described, frames, image_paths, read_image, video_info
from tests.unit.vision_models import SIDE, WholeModel, finder, picture


def street(count: int) -> Iterator[Image.Image]:
    """A green square that moves by its own width from picture to picture."""
    for index in range(count):
        yield picture((SIDE, SIDE), ("green", (8 * (index % 8), 8, 8 * (index % 8) + 8, 16)))


def test_a_stream_keeps_the_order_with_several_requests_under_way() -> None:
    class Together(WholeModel):
        """Answers only once as many requests are under way as may be."""

        gate = threading.Barrier(4)

        def infer(self, inputs, timeout_seconds):
            self.gate.wait(60)
            return super().infer(inputs, timeout_seconds)

    vision = Vision(Together(finder()))
    found = [answer for _, answer in vision.stream(street(16), in_flight=4)]
    assert [answer.xyxy[0, 0] for answer in found] == [8 * (index % 8) for index in range(16)]


def test_a_stream_takes_no_more_images_than_it_must() -> None:
    taken = 0

    def counted() -> Iterator[Image.Image]:
        nonlocal taken
        for image in street(100):
            taken += 1
            yield image

    answers = Vision(WholeModel(finder())).stream(counted(), in_flight=2)
    for _ in range(3):
        next(answers)
    answers.close()
    assert taken <= 3 + 2 * 2


def test_a_stream_ends_with_the_first_error() -> None:
    class Failing(WholeModel):
        def infer(self, inputs, timeout_seconds):
            if inputs["images"][0, 1, 12, 20] == 1:
                raise ServerUnavailableError("edge is away")
            return super().infer(inputs, timeout_seconds)

    found = []
    with pytest.raises(ServerUnavailableError, match="edge is away"):
        found.extend(Vision(Failing(finder())).stream(street(8), in_flight=3))
    assert len(found) == 2


@pytest.mark.parametrize("task", ["detect", "segment", "classify"])
def test_what_is_found_is_drawn_on_a_copy(task) -> None:
    image = picture((256, 256), ("red", (64, 128, 96, 160)))
    before = np.asarray(image).copy()
    vision = Vision(WholeModel(finder(task)))
    found = vision.find(image)
    drawn = np.asarray(vision.annotate(image, found)).astype(int)
    assert drawn.shape == before.shape
    assert (np.asarray(image) == before).all()
    changed = np.abs(drawn - before).sum(2) > 0
    assert changed.any()
    if task != "classify":
        assert changed[120:170, 60:100].any()
        assert not changed[200:, 150:].any()


def test_nothing_found_draws_nothing() -> None:
    image = picture((100, 80))
    for task in ("detect", "segment"):
        vision = Vision(WholeModel(finder(task)))
        assert (np.asarray(vision.annotate(image, vision.find(image))) == np.asarray(image)).all()


def test_segments_are_described_with_their_polygons() -> None:
    vision = Vision(WholeModel(finder("segment")))
    image = picture((256, 256), ("red", (64, 128, 96, 160)))
    (item,) = described(vision.model, vision.find(image))
    (polygon,) = item["polygons"]
    assert np.array(polygon).min(0) == pytest.approx([64, 128], abs=8)
    assert np.array(polygon).max(0) == pytest.approx([96, 160], abs=8)


def test_images_are_read_upright_and_rgb(tmp_path) -> None:
    sideways = Image.new("L", (20, 10), 200)
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways.save(tmp_path / "a.jpg", exif=exif)
    image = read_image(tmp_path / "a.jpg")
    assert (image.size, image.mode) == ((10, 20), "RGB")


def test_folders_give_their_images_by_name(tmp_path) -> None:
    with pytest.raises(InvalidArgumentError, match="no image"):
        list(image_paths(tmp_path))
    for name in ("b.png", "a.JPG", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in image_paths(tmp_path)] == ["a.JPG", "b.png"]
    assert list(image_paths(tmp_path / "notes.txt")) == [tmp_path / "notes.txt"]


def test_what_is_no_image_or_video_is_named(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    for read in (read_image, video_info, lambda path: list(frames(path))):
        with pytest.raises(InvalidArgumentError, match=r"notes\.txt"):
            read(tmp_path / "notes.txt")
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "missing")


def test_videos_give_their_frames(tmp_path) -> None:
    path = str(tmp_path / "street.mp4")
    with sv.VideoSink(path, sv.VideoInfo(SIDE, SIDE, 10, 5)) as sink:
        for image in street(5):
            sink.write_frame(np.ascontiguousarray(np.asarray(image)[:, :, ::-1]))
    info = video_info(path)
    assert (info.width, info.height, info.fps) == (SIDE, SIDE, 10)
    read = list(frames(path))
    assert len(read) == 5
    red, green, blue = (int(level) for level in read[2].getpixel((20, 12)))
    assert green > 180 > 80 > max(red, blue)
