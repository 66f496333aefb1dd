"""Which models can be computed for several requests at once."""

from core.errors import InvalidArgumentError
from deployer.records import ModelRecord

MOST = 256
"""Largest number of requests at once; memory for what a component computes grows with it."""


def check_micro_batch(model: ModelRecord, micro_batch: int) -> None:
    """Refuse what cannot be.

    Raises:
        InvalidArgumentError: the number is out of range, or the model has no dimension along which requests are joined.
    """
    if not 1 <= micro_batch <= MOST:
        raise InvalidArgumentError(f"a micro-batch of {micro_batch} requests: give 1 to {MOST}")
    if micro_batch == 1:
        return
    for spec in (*model.inputs, *model.outputs):
        if spec.shape[:1] != (1,):
            raise InvalidArgumentError(
                f"requests to {model.name!r} cannot be joined: {spec.name!r} has the shape {list(spec.shape)}, "
                "which does not begin with 1; deploy without a micro-batch"
            )
