"""Image files and folders of them."""

from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from core.errors import InvalidArgumentError


def image_suffixes() -> frozenset[str]:
    """Suffixes of the files that can be read as images, such as ``.jpg``."""
    return frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN)


def image_paths(path: Path | str) -> Iterator[Path]:
    """The image that a path names, or those in the folder it names, by name.

    Raises:
        InvalidArgumentError: a folder holds no image.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    if not path.is_dir():
        path.stat()
        yield path
        return
    found = sorted(file for file in path.iterdir() if file.is_file() and file.suffix.lower() in image_suffixes())
    if not found:
        raise InvalidArgumentError(f"the folder {path} holds no image; give one that does")
    yield from found


def read_image(path: Path | str) -> Image.Image:
    """An image as RGB, turned as the camera was held.

    Raises:
        InvalidArgumentError: the file is not an image, or too large a one.
        OSError: it cannot be read.
    """
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except UnidentifiedImageError:
        raise InvalidArgumentError(f"{path} is not an image that can be read; give a JPEG or PNG file") from None
    except Image.DecompressionBombError as error:
        raise InvalidArgumentError(f"{path}: {error}; make it smaller") from None
