"""What noise is: how far a quantised model's outputs are from the float model's, by a named measure or a user's own.

A measure takes the outputs of the float and of the quantised model for one input, name → array, and returns a number
that is 0 for equal outputs and grows as they part. The noise of a set of int8 layers is its mean over inputs.
"""

import importlib
from collections.abc import Callable, Mapping

import numpy as np

from core.errors import InvalidArgumentError, InvalidModelError
from core.tensors import Array
from profilers.noise_detections import detection_disagreement

Outputs = Mapping[str, Array]
NoiseMeasure = Callable[[Outputs, Outputs], float]


def mean_absolute_difference(expected: Outputs, given: Outputs) -> float:
    """Mean |o − o_q| over all elements of all outputs (thesis eq. 3.1.1).

    Raises:
        InvalidModelError: an output changes its shape with the values, or is not finite.
    """
    total, count = 0.0, 0
    for name, array in expected.items():
        _same_shape(name, array, given[name])
        total += float(np.abs(array.astype(np.float64) - given[name].astype(np.float64)).sum())
        count += array.size
    if not np.isfinite(total):
        raise InvalidModelError("the model's outputs are not finite on the given inputs; give inputs as in real use")
    return total / max(1, count)


def top_1_disagreement(expected: Outputs, given: Outputs) -> float:
    """Share of places at which another class has the largest score: 1 − top-1 agreement.

    Classes are along the last axis of every output; each of the other axes' positions, an image of a batch or a
    character of a line, is a place.

    Raises:
        InvalidModelError: an output changes its shape with the values.
        InvalidArgumentError: an output has no classes to choose from.
    """
    wrong, count = 0, 0
    for name, array in expected.items():
        _same_shape(name, array, given[name])
        if array.ndim == 0 or array.shape[-1] < 2:
            raise InvalidArgumentError(
                f"noise measure 'top-1-agreement' needs two or more classes along the last axis, but output {name!r} "
                f"has shape {list(array.shape)}; choose another measure"
            )
        differing = array.argmax(axis=-1) != given[name].argmax(axis=-1)
        wrong += int(differing.sum())
        count += differing.size
    return wrong / max(1, count)


NAMED: dict[str, NoiseMeasure] = {
    "mean-absolute-difference": mean_absolute_difference,
    "top-1-agreement": top_1_disagreement,
    "detection-agreement": detection_disagreement,
}
"""Measures by name; noise of an agreement is 1 − agreement."""


def find_measure(name: str) -> NoiseMeasure:
    """Find a measure: one of ``NAMED``, or ``module:function`` of the installed Python packages.

    A function's module is imported, so whoever may choose the name may run code.

    Raises:
        InvalidArgumentError: there is no such measure, module or function.
    """
    if name in NAMED:
        return NAMED[name]
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        raise InvalidArgumentError(
            f"there is no noise measure {name!r}; choose {', '.join(NAMED)}, or name a function as module:function"
        )
    try:
        found = getattr(importlib.import_module(module), function, None)
    except Exception as error:
        raise InvalidArgumentError(
            f"noise measure {name!r}: the module {module!r} cannot be imported ({type(error).__name__}: {error}); "
            "install it where the ModelProfiler runs"
        ) from error
    if not callable(found):
        raise InvalidArgumentError(f"noise measure {name!r}: module {module!r} has no function {function!r}")
    return _checked(name, found)


def _checked(name: str, function: Callable[[Outputs, Outputs], object]) -> NoiseMeasure:
    """Let a user's function raise nothing but typed errors, and return nothing but numbers."""

    def measure(expected: Outputs, given: Outputs) -> float:
        try:
            value = function(expected, given)
            number = float(value)  # type: ignore[arg-type]
        except Exception as error:
            raise InvalidArgumentError(
                f"noise measure {name!r} failed ({type(error).__name__}: {error}); it is called with the outputs of "
                "the float and of the quantised model, name → array, and returns a number"
            ) from error
        if not np.isfinite(number):
            raise InvalidArgumentError(f"noise measure {name!r} returned {value!r}; it must return a finite number")
        return number

    return measure


def _same_shape(name: str, expected: Array, given: Array) -> None:
    if expected.shape != given.shape:
        raise InvalidModelError(
            f"output {name!r} changes its shape with the values, so that int8 cannot be compared with float; "
            "cut such steps (for example non-maximum suppression) off the model"
        )
