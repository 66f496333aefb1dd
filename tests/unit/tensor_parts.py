"""Tensors as callers may send them who give every header and every chunk a message of its own."""

from collections.abc import Iterator, Mapping

from core.tensors import Array
from partita.v1 import types_pb2
from services.runtime.streams import tensor_parts


def parts_apart(tensors: Mapping[str, Array]) -> Iterator[types_pb2.TensorPart]:
    """Headers and chunks in parts of their own."""
    for part in tensor_parts(tensors):
        if part.HasField("header"):
            yield types_pb2.TensorPart(header=part.header)
        if part.HasField("chunk"):
            yield types_pb2.TensorPart(chunk=part.chunk)
