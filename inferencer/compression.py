"""Tensors made smaller for slow links, without loss.

The bytes of a block's values are put in the order of their significance, the lowest of each value first, so that
exponents, which are much alike, stand side by side; then Zstandard compresses them. Without that order floats hardly
become smaller.
"""

import threading

import numpy as np
import zstandard

from core.buffers import Bytes
from core.errors import CorruptDataError

LEVEL = 1
"""Of Zstandard: higher ones make activations hardly smaller, and take far longer."""

BLOCK_BYTES = 2**19
"""Each block of a tensor is compressed by itself, so that sending begins with the first."""

_LEAST_SAVING = 1 / 16
"""A block that becomes smaller by less is sent as it is."""

_local = threading.local()


def compress(block: memoryview, item_bytes: int) -> bytes | None:
    """Compress a block; ``None`` where that saves next to nothing. Lets other threads run meanwhile.

    Args:
        block: bytes of a tensor's values, row-major.
        item_bytes: size of one value.
    """
    planes: Bytes = np.frombuffer(block, np.uint8)
    if item_bytes > 1:
        planes = np.ascontiguousarray(planes.reshape(-1, item_bytes).T)
    if not hasattr(_local, "compressor"):
        # Not to be used by two threads at once.
        _local.compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    made: bytes = _local.compressor.compress(planes.reshape(-1).data)
    return made if len(made) <= block.nbytes * (1 - _LEAST_SAVING) else None


def decompress(data: memoryview, block: Bytes, item_bytes: int) -> None:
    """Write what ``compress`` made of a block into ``block``, which has its size.

    No more memory is taken than ``block`` has, whatever the data claim to be.

    Raises:
        CorruptDataError: the data are no such thing, or of another size.
    """
    try:
        claimed = zstandard.frame_content_size(data)
        if claimed != block.nbytes or block.nbytes % item_bytes:
            raise CorruptDataError(
                f"compressed data claim to be {claimed} bytes where {block.nbytes} of {item_bytes} bytes each were "
                "announced; send the tensor again"
            )
        plain = zstandard.ZstdDecompressor().decompress(data, max_output_size=claimed, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise CorruptDataError(f"compressed data cannot be read ({error}); send the tensor again") from error
    if len(plain) != block.nbytes:
        raise CorruptDataError(f"compressed data were {len(plain)} bytes, not {block.nbytes}; send the tensor again")
    values = np.frombuffer(plain, np.uint8).reshape(item_bytes, -1)
    block.reshape(-1, item_bytes)[...] = values.T
