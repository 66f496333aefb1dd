"""Arrays from and to the messages of the Open Inference Protocol."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from core.deployment import DeploymentVersion
from core.errors import InvalidArgumentError, InvalidTensorError
from core.tensors import Array, TensorSpec
from partita.v1 import open_inference_pb2

# Datatype of the protocol → numpy's, and the field for its values, where it has one.
_DATATYPES = {
    "BOOL": ("bool", "bool_contents"),
    "INT8": ("int8", "int_contents"),
    "INT16": ("int16", "int_contents"),
    "INT32": ("int32", "int_contents"),
    "INT64": ("int64", "int64_contents"),
    "UINT8": ("uint8", "uint_contents"),
    "UINT16": ("uint16", "uint_contents"),
    "UINT32": ("uint32", "uint_contents"),
    "UINT64": ("uint64", "uint64_contents"),
    "FP16": ("float16", ""),
    "FP32": ("float32", "fp32_contents"),
    "FP64": ("float64", "fp64_contents"),
}
_NAMES = {dtype: name for name, (dtype, _) in _DATATYPES.items()}

# What changes the answer's meaning and is not done here; other parameters do not concern Partita.
_REFUSED = ("shared_memory_region", "classification")


def to_arrays(request: open_inference_pb2.ModelInferRequest) -> dict[str, Array]:
    """The inputs of a request by name.

    Raises:
        InvalidTensorError: an input's values do not fit its datatype and shape, or a name comes twice.
        InvalidArgumentError: the request asks for what is not offered here.
    """
    given = [request.parameters]
    given += [tensor.parameters for tensor in request.inputs] + [output.parameters for output in request.outputs]
    for parameters in given:
        if refused := next((name for name in _REFUSED if name in parameters), None):
            raise InvalidArgumentError(f"the parameter {refused!r} is not offered here; send and receive whole tensors")
    raw: Sequence[bytes | None] = request.raw_input_contents or [None] * len(request.inputs)
    if len(raw) != len(request.inputs):
        raise InvalidTensorError(
            f"the request has {len(request.inputs)} inputs, but {len(raw)} raw contents; give all inputs raw, or none"
        )
    arrays: dict[str, Array] = {}
    for tensor, data in zip(request.inputs, raw, strict=True):
        if tensor.name in arrays:
            raise InvalidTensorError(f"input {tensor.name!r} is given twice")
        arrays[tensor.name] = _to_array(tensor, data)
    return arrays


def _to_array(tensor: open_inference_pb2.ModelInferRequest.InferInputTensor, data: bytes | None) -> Array:
    label = f"input {tensor.name!r} ({tensor.datatype}{list(tensor.shape)})"
    if tensor.datatype not in _DATATYPES:
        raise InvalidTensorError(f"{label}: the datatype is none of {', '.join(_DATATYPES)}")
    if any(size < 0 for size in tensor.shape):
        raise InvalidTensorError(f"{label}: sizes must not be negative")
    dtype, field = np.dtype(_DATATYPES[tensor.datatype][0]), _DATATYPES[tensor.datatype][1]
    count = math.prod(tensor.shape)
    if data is not None:
        if tensor.HasField("contents") or len(data) != count * dtype.itemsize:
            raise InvalidTensorError(
                f"{label}: {len(data)} raw bytes came, {count * dtype.itemsize} and nothing else are needed"
            )
        return np.frombuffer(data, dtype).reshape(tensor.shape)
    values = np.array(getattr(tensor.contents, field) if field else ())
    array = values.astype(dtype)
    if len(values) != count or not np.array_equal(values, array, equal_nan=values.dtype.kind == "f"):
        where = f"in {field}" if field else "as raw bytes"
        raise InvalidTensorError(f"{label}: {count} values that fit the datatype are needed, {where}")
    return array.reshape(tensor.shape)


def from_outputs(
    outputs: Mapping[str, Array], wanted: Sequence[str]
) -> tuple[list[open_inference_pb2.ModelInferResponse.InferOutputTensor], list[bytes]]:
    """The outputs that are wanted, or all, and their bytes."""
    chosen = {name: outputs[name] for name in wanted or outputs}
    tensors = [
        open_inference_pb2.ModelInferResponse.InferOutputTensor(
            name=name, datatype=_NAMES[array.dtype.name], shape=array.shape
        )
        for name, array in chosen.items()
    ]
    return tensors, [array.tobytes() for array in chosen.values()]


def check_wanted(version: DeploymentVersion, wanted: Sequence[str]) -> None:
    """Refuse outputs that the model does not give.

    Raises:
        InvalidTensorError: a name is unknown.
    """
    known = [spec.name for spec in version.division.outputs]
    for name in wanted:
        if name not in known:
            raise InvalidTensorError(f"output {name!r} is asked for, but the model gives {known}")


def from_spec(spec: TensorSpec) -> open_inference_pb2.ModelMetadataResponse.TensorMetadata:
    """Name, datatype and shape as a model's metadata has them."""
    return open_inference_pb2.ModelMetadataResponse.TensorMetadata(
        name=spec.name, datatype=_NAMES[spec.dtype], shape=spec.shape
    )
