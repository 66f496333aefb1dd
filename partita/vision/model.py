"""What a vision model does and takes: from the metadata that YOLO exports carry, or as given by hand."""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from core.errors import InvalidArgumentError, InvalidModelError
from core.tensors import TensorSpec

Task = Literal["classify", "detect", "segment", "text"]
"""Classes of the whole image; boxes; boxes with masks; boxes of text."""

TASKS: tuple[Task, ...] = get_args(Task)


@dataclass(frozen=True)
class InputLayout:
    """How an image becomes the model's input, 1×3×height×width.

    Attributes:
        channels: order of the colours.
        mean: subtracted from the levels (0 to 255) of every colour, or of each.
        deviation: by which they are divided after that.
        padding: grey level around the image.
        centered: whether the image is in the input's middle or in its top left corner.
    """

    channels: Literal["RGB", "BGR"] = "RGB"
    mean: float | tuple[float, float, float] = 0.0
    deviation: float | tuple[float, float, float] = 255.0
    padding: int = 114
    centered: bool = True


YOLO_LAYOUT = InputLayout()

TEXT_LAYOUT = InputLayout("BGR", mean=127.5, deviation=127.5, padding=255, centered=False)
"""What PP-OCR's text detection takes."""


@dataclass(frozen=True)
class VisionModel:
    """A model that takes one image.

    Attributes:
        task: what it does.
        names: class → its name; empty where they are not known.
        input: its only input.
        outputs: its outputs.
        layout: how an image becomes the input.
    """

    task: Task
    names: Mapping[int, str]
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    layout: InputLayout

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the input in pixels."""
        return self.input.shape[3], self.input.shape[2]

    def name(self, index: int) -> str:
        """The name of a class; its number where it has none."""
        return self.names.get(index, f"class {index}")


def vision_model(
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    metadata: Mapping[str, str],
    *,
    task: str | None = None,
    names: Mapping[int, str] | Sequence[str] | None = None,
    layout: InputLayout | None = None,
) -> VisionModel:
    """Read what a model does from its signature and the ``task`` and ``names`` of its metadata.

    Args:
        task: instead of the metadata's.
        names: class names, instead of the metadata's.
        layout: instead of the task's usual one.

    Raises:
        InvalidArgumentError: the task is not known, or not one of ours.
        InvalidModelError: the model does not take one image, or its class names cannot be read.
    """
    used = task or metadata.get("task")
    if used is None:
        raise InvalidArgumentError(f"the model does not say what it does; give its task, one of {', '.join(TASKS)}")
    if used not in TASKS:
        raise InvalidArgumentError(f"the task {used!r} is none of {', '.join(TASKS)}; use the model's raw outputs")
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[:2] != (1, 3):
        given = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in inputs)
        raise InvalidModelError(f"the model takes {given}; a vision model takes one image, [1, 3, height, width]")
    if inputs[0].dtype not in ("float32", "float16"):
        raise InvalidModelError(f"the model takes images of {inputs[0].dtype}; export it for float32 or float16")
    if names is None:
        known = _read_names(metadata["names"]) if "names" in metadata else {}
    else:
        known = dict(names) if isinstance(names, Mapping) else dict(enumerate(names))
    usual = TEXT_LAYOUT if used == "text" else YOLO_LAYOUT
    return VisionModel(used, known, inputs[0], tuple(outputs), layout or usual)


def _read_names(text: str) -> dict[int, str]:
    """Class names as exports write them: ``{0: 'person', 1: 'bicycle'}``."""
    try:
        return {int(index): str(name) for index, name in ast.literal_eval(text).items()}
    except (ValueError, SyntaxError, TypeError, AttributeError, MemoryError, RecursionError):
        raise InvalidModelError(
            f"the class names {text[:60]!r} in the model's metadata cannot be read; give them by hand"
        ) from None
