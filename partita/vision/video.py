"""Video files, frame by frame."""

from collections.abc import Iterator
from pathlib import Path

import supervision as sv
from PIL import Image

from core.errors import InvalidArgumentError


def video_info(path: Path | str) -> sv.VideoInfo:
    """Width, height, frames per second and number of frames of a video file.

    Raises:
        InvalidArgumentError: the file is not a video.
        FileNotFoundError: there is no such file.
    """
    Path(path).stat()
    try:
        info = sv.VideoInfo.from_video_path(str(path))
    except Exception as error:  # noqa: BLE001 - it raises just that
        raise InvalidArgumentError(f"{path} is not a video that can be read ({error})") from None
    if info.width < 1 or info.height < 1:
        raise InvalidArgumentError(f"{path} is not a video that can be read; give an MP4 or AVI file")
    return info


def frames(path: Path | str) -> Iterator[Image.Image]:
    """The frames of a video file, RGB, one after the other.

    Raises:
        InvalidArgumentError: the file is not a video.
        FileNotFoundError: there is no such file.
    """
    video_info(path)
    for frame in sv.get_video_frames_generator(str(path)):
        yield Image.fromarray(frame[:, :, ::-1])
