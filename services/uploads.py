"""A Load call's stream put together: header, ONNX file, calibration samples."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from core.errors import InvalidArgumentError
from core.tensors import Array
from partita.v1 import deployer_pb2
from services.runtime.streams import Assembly, TensorsAssembly


@dataclass(frozen=True)
class Upload:
    """A model as it was sent.

    Attributes:
        data: the ONNX file's bytes.
        input_shapes: fixed shapes for dynamic inputs.
        samples: calibration samples.
    """

    name: str
    data: bytes
    input_shapes: dict[str, tuple[int, ...]]
    samples: list[dict[str, Array]]


async def receive_upload(
    parts: AsyncIterator[deployer_pb2.LoadRequest], model_limit_bytes: int, tensor_limit_bytes: int
) -> Upload:
    """Read the stream of a Load call.

    Raises:
        InvalidArgumentError: parts come in the wrong order, or some are missing.
        TooLargeError: the model or a sample is above its limit, or more bytes come than were announced.
    """
    header: deployer_pb2.LoadHeader | None = None
    model: Assembly | None = None
    tensors = TensorsAssembly(tensor_limit_bytes)
    samples: list[dict[str, Array]] = []
    async for part in parts:
        kind = part.WhichOneof("part")
        if (kind == "header") != (model is None):
            raise InvalidArgumentError("a Load call is one header, then the model's chunks, then samples")
        if kind == "header":
            header = part.header
            model = Assembly(f"model {header.name!r}", header.byte_count, model_limit_bytes)
        elif kind == "model" and model is not None:
            model.add(part.model)
        elif kind == "sample":
            done = tensors.add(part.sample)
            if done is not None:
                name, array = done
                if not samples or name in samples[-1]:
                    samples.append({})
                samples[-1][name] = array
    tensors.finish()
    if header is None or model is None:
        raise InvalidArgumentError("a Load call begins with a header")
    return Upload(
        header.name, model.finish().tobytes(), {item.name: tuple(item.shape) for item in header.input_shapes}, samples
    )
