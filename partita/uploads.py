"""A model and its calibration samples as the stream of messages that ``Load`` takes."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from core.errors import InvalidArgumentError, InvalidTensorError
from core.tensors import DTYPES, Array
from partita.v1 import deployer_pb2
from services.runtime.streams import chunks, tensor_parts

Sample = Mapping[str, Array]
"""One set of model inputs by name."""


def checked_arrays(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays, once all are sure to be arrays that can travel.

    Raises:
        InvalidTensorError: a value is not an array, or has a dtype that cannot travel.
    """
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise InvalidTensorError(f"tensor {name!r} is a {type(array).__name__}; give a numpy array")
        if array.dtype.name not in DTYPES:
            raise InvalidTensorError(
                f"tensor {name!r} has dtype {array.dtype.name}; convert it to one of {', '.join(sorted(DTYPES))}"
            )
    return dict(arrays)


def model_bytes(model: Path | str | bytes, name: str | None) -> tuple[bytes, str]:
    """The ONNX file's bytes, and the model's name: as given, else the file's own without its suffix.

    Raises:
        InvalidArgumentError: bytes without a name.
        OSError: the file cannot be read.
    """
    if isinstance(model, bytes):
        if not name:
            raise InvalidArgumentError("a model given as bytes needs a name; give name=…")
        return model, name
    path = Path(model)
    return path.read_bytes(), name or path.stem


def load_requests(
    data: bytes,
    name: str,
    input_shapes: Mapping[str, Sequence[int]],
    samples: Sequence[Sample],
) -> Iterator[deployer_pb2.LoadRequest]:
    """Header, model and samples as messages; all is checked before the first, as gRPC hides an iterator's errors.

    Raises:
        InvalidArgumentError: an input's shape is not made of whole numbers.
        InvalidTensorError: a sample cannot travel.
    """
    try:
        shapes = [deployer_pb2.InputShape(name=key, shape=shape) for key, shape in input_shapes.items()]
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"input_shapes {dict(input_shapes)}: {error}; give whole numbers") from None
    header = deployer_pb2.LoadHeader(name=name, byte_count=len(data), input_shapes=shapes)
    return _load_requests(header, data, [checked_arrays(sample) for sample in samples])


def _load_requests(
    header: deployer_pb2.LoadHeader, data: bytes, samples: Sequence[Sample]
) -> Iterator[deployer_pb2.LoadRequest]:
    yield deployer_pb2.LoadRequest(header=header)
    for chunk in chunks(data):
        yield deployer_pb2.LoadRequest(model=chunk)
    for sample in samples:
        for part in tensor_parts(sample):
            yield deployer_pb2.LoadRequest(sample=part)
