"""For how many requests at once a component may run, and whether this pays: found out by running it."""

import numpy as np

from core.errors import InvalidModelError
from core.profiles import RuntimeSettings
from core.tensors import Array, TensorSpec
from inferencer.batching import for_many
from inferencer.session import Session

LEAST_GAIN = 0.05
"""What running together must save of the time for each request; less is not worth their waiting for each other."""

TIMINGS = 3
"""How often each number is timed; the quickest counts."""

TOLERANCE = 0.01
"""Most that a value may differ from the one computed alone, as a share of the range of its tensor's values.

Kernels add up in another order, which may turn an int8 value to its neighbour; what mixes requests differs by far more.
"""


def session_for_many(
    model: bytes, inputs: tuple[TensorSpec, ...], alone: Session, settings: RuntimeSettings, most: int
) -> tuple[Session, int]:
    """A session that runs for several requests at once, and for how many at most this is quicker for each.

    Args:
        model: the component, an ONNX file's bytes.
        inputs: what it takes for one request.
        alone: the session for one request.
        settings: of both sessions.
        most: do not try more.

    Raises:
        InvalidModelError: the component cannot run for several requests, or not with equal results, or no quicker;
            the message tells which.
    """
    many = Session(for_many(model), settings)
    random = np.random.default_rng(0)
    examples = [{spec.name: _example(spec, random) for spec in inputs} for _ in range(min(most, 3))]
    _compare(examples, alone, many)
    seconds = {1: _seconds(alone, examples[:1])}
    best, size = 1, 1
    while size < most:
        size = min(2 * size, most)
        seconds[size] = _seconds(many, (examples * size)[:size]) / size
        if seconds[size] >= seconds[best]:
            break
        best = size
    if seconds[best] > seconds[1] * (1 - LEAST_GAIN):
        told = ", ".join(f"{1000 * each:.2f} ms for {count}" for count, each in seconds.items())
        raise InvalidModelError(f"several at once are not quicker: each takes {told}")
    return many, best


def _example(spec: TensorSpec, random: np.random.Generator) -> Array:
    kind = np.dtype(spec.dtype)
    if kind.kind == "f":
        return random.standard_normal(spec.shape).astype(kind)
    # Whole numbers may be indices, of which 0 and 1 are nearly always there; bytes are quantised values.
    return random.integers(0, 256 if kind == np.uint8 else 2, spec.shape).astype(kind)


def _compare(examples: list[dict[str, Array]], alone: Session, many: Session) -> None:
    try:
        each = [alone.run(example) for example in examples]
        together = many.run_together(examples)
    except Exception as error:
        # Layers may also refuse random inputs, and then nothing can be said of several.
        reason = " ".join(str(error).split())
        raise InvalidModelError(f"it does not run for several requests: {reason[:200]}") from error
    for expected, found in zip(each, together, strict=True):
        for name, array in expected.items():
            _compare_tensor(name, array, found[name])


def _compare_tensor(name: str, expected: Array, found: Array) -> None:
    if found.shape != expected.shape:
        raise InvalidModelError(f"for several requests {name!r} has {list(found.shape)} for each, not {expected.shape}")
    inexact = expected.dtype.kind == "f" or expected.dtype.itemsize == 1
    if expected.size == 0 or np.array_equal(expected, found, equal_nan=expected.dtype.kind == "f"):
        return
    wide = expected.astype(np.float64)
    most = float(np.abs(found.astype(np.float64) - wide).max())
    if not inexact or not most <= TOLERANCE * float(wide.max() - wide.min()):
        raise InvalidModelError(f"for several requests {name!r} differs by up to {most:.3g} from what each gives alone")


def _seconds(session: Session, examples: list[dict[str, Array]]) -> float:
    session.run_together(examples)
    return min(session.timed(examples) for _ in range(TIMINGS))
