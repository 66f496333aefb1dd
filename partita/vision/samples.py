"""Pictures as samples: what int8 layers of a model are calibrated and measured with, before it is loaded."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import FailedPreconditionError, InvalidArgumentError, InvalidModelError
from core.tensors import Array, TensorSpec
from partita.vision.files import image_paths, read_image
from partita.vision.model import vision_model
from partita.vision.preprocessing import prepare

MOST_SAMPLES = 32
"""Of more pictures, so many are taken, evenly spread: more hardly change the ranges, and each takes its time."""


def picture_samples(
    model: Path | str,
    pictures: Sequence[Path | str],
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    task: str | None = None,
) -> list[dict[str, Array]]:
    """Prepare pictures as a vision model in an ONNX file takes them.

    Args:
        model: the file; what it does and takes is read from it.
        pictures: images and folders of images.
        input_shapes: fixed shapes of inputs that are dynamic in the file.
        task: instead of the metadata's.

    Raises:
        InvalidArgumentError: the task is not known, a picture cannot be read, or a size is not fixed.
        InvalidModelError: the model cannot be read, or does not take one image.
        FailedPreconditionError: the package onnx is not installed.
        OSError: a file cannot be read.
    """
    paths = [path for one in pictures for path in image_paths(one)]
    count = min(MOST_SAMPLES, len(paths))
    chosen = [paths[index * len(paths) // count] for index in range(count)]
    inputs, metadata = _described(Path(model), input_shapes or {})
    prepared = vision_model(inputs, (), metadata, task=task)
    return [prepare(prepared, read_image(path))[0] for path in chosen]


def _described(file: Path, shapes: Mapping[str, Sequence[int]]) -> tuple[list[TensorSpec], dict[str, str]]:
    try:
        import onnx
    except ImportError:
        raise FailedPreconditionError(
            "pictures as samples need onnx, which is not installed; pip install onnx, or give .npz files"
        ) from None
    try:
        model = onnx.load_model_from_string(file.read_bytes())
    except Exception as error:  # noqa: BLE001 - protobuf's errors have no common, public base
        raise InvalidModelError(f"{file} is not an ONNX model: {error}") from None
    weights = {weight.name for weight in model.graph.initializer}
    specs = []
    for value in model.graph.input:
        if value.name in weights:
            continue
        tensor = value.type.tensor_type
        shape = tuple(shapes.get(value.name, [size.dim_value for size in tensor.shape.dim]))
        if 0 in shape:
            raise InvalidArgumentError(
                f"the size of input {value.name!r} is open in {file}; "
                f"give it, for example with --input-shape {value.name}=1x3x640x640"
            )
        specs.append(TensorSpec(value.name, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name, shape))
    return specs, {entry.key: entry.value for entry in model.metadata_props}
