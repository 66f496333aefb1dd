"""Fitting an image into a model's input without distorting it, and finding the way back."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class Letterbox:
    """An image scaled to fit into an input, its aspect kept, and padded to fill it; all in pixels.

    Attributes:
        image: size of the original image.
        input: size of the model's input.
        scaled: size of the image within the input.
        offset: left and top edge of the image within the input.
    """

    image: Size
    input: Size
    scaled: Size
    offset: Size

    @classmethod
    def fitting(cls, image: Size, into: Size, centered: bool = True) -> Self:
        """The largest an image can be within an input: in its middle, or else in its top left corner."""
        scale = min(into[0] / image[0], into[1] / image[1])
        scaled = max(1, round(image[0] * scale)), max(1, round(image[1] * scale))
        offset = ((into[0] - scaled[0]) // 2, (into[1] - scaled[1]) // 2) if centered else (0, 0)
        return cls(image, into, scaled, offset)

    def fill(self, image: Image.Image, grey: int) -> Image.Image:
        """The image scaled and padded with a grey level from 0 to 255."""
        filled = Image.new("RGB", self.input, (grey, grey, grey))
        scaled = image if image.size == self.scaled else image.resize(self.scaled, Image.Resampling.BILINEAR)
        filled.paste(scaled, self.offset)
        return filled

    @property
    def _scale(self) -> NDArray[np.float64]:
        scale: NDArray[np.float64] = np.array(self.scaled) / np.array(self.image)
        return scale

    def to_input(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points of the original image within the input; pairs x, y in the last dimension, or boxes of two such."""
        pairs = points.reshape(*points.shape[:-1], points.shape[-1] // 2, 2)
        within: NDArray[np.float64] = pairs * self._scale + self.offset
        return within.reshape(points.shape)

    def to_image(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points of the input within the original image, those outside of it moved to its edge."""
        pairs = points.reshape(*points.shape[:-1], points.shape[-1] // 2, 2).astype(np.float64)
        inside: NDArray[np.float64] = np.clip((pairs - self.offset) / self._scale, 0, self.image)
        return inside.reshape(points.shape)
