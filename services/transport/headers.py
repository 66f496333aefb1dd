"""Headers in pieces, as protobuf writes them: one after another, they are the header that has all of their fields.

What all requests have in common is written once.
"""

from functools import lru_cache

from core.deployment import RequestKey
from core.tensors import Array, TensorSpec
from partita.v1 import tensor_transport_pb2
from services.runtime.streams import dtype_name, from_spec


def announcement(
    destination: tensor_transport_pb2.Destination.ValueType, key: RequestKey, name: str, array: Array
) -> bytes:
    """What opens a tensor; a number is still to come."""
    common = _common(destination, key.deployment, key.version, name, dtype_name(array), array.shape)
    request = tensor_transport_pb2.TensorAnnouncement(request_id=key.request_id)
    return common + tensor_transport_pb2.CarryHeader(announcement=request).SerializeToString()


def lies_in(segment: tensor_transport_pb2.SharedSegment) -> bytes:
    """Where the data lie of the tensor that is opened."""
    place = tensor_transport_pb2.TensorAnnouncement(segment=segment)
    return tensor_transport_pb2.CarryHeader(announcement=place).SerializeToString()


def numbered(number: int, offset: int = 0, cancelled: bool = False) -> bytes:
    """Of which tensor or part this is, and where the data belong or that it is to be forgotten."""
    return tensor_transport_pb2.CarryHeader(tensor=number, offset=offset, cancelled=cancelled).SerializeToString()


def compressed_from(byte_count: int) -> bytes:
    """How many bytes of the tensor the data are once decompressed."""
    return tensor_transport_pb2.CarryHeader(decompressed_bytes=byte_count).SerializeToString()


@lru_cache(1024)
def _common(
    destination: tensor_transport_pb2.Destination.ValueType,
    deployment: str,
    version: int,
    name: str,
    dtype: str,
    shape: tuple[int, ...],
) -> bytes:
    """What the announcements of this tensor have in common in all requests of a deployment."""
    common = tensor_transport_pb2.TensorAnnouncement(
        destination=destination,
        deployment=deployment,
        version=version,
        tensor=from_spec(TensorSpec(name, dtype, shape)),
    )
    return tensor_transport_pb2.CarryHeader(announcement=common).SerializeToString()
