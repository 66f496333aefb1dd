"""An ONNX Runtime session with the settings that every run on a server shares."""

import time
from collections.abc import Callable, Mapping

import numpy as np
import onnxruntime as ort

from core.errors import InvalidModelError
from core.profiles import RuntimeSettings
from core.tensors import Array, TensorSpec


def session_options(settings: RuntimeSettings) -> ort.SessionOptions:
    """Return the runtime's options by which a server runs every model."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Without VNNI the fast kernels for unsigned activations overflow, silently; with it this changes nothing.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def open_session(model: bytes, settings: RuntimeSettings, options: ort.SessionOptions) -> ort.InferenceSession:
    """Load ``model``, an ONNX file's bytes, on the provider of ``settings``.

    Raises:
        InvalidModelError: the runtime refuses the model or the provider is not there.
    """
    if settings.provider not in ort.get_available_providers():
        raise InvalidModelError(
            f"execution provider {settings.provider!r} is not installed; "
            f"available are {', '.join(ort.get_available_providers())}"
        )
    try:
        return ort.InferenceSession(model, options, providers=[settings.provider])
    except Exception as error:
        raise InvalidModelError(f"ONNX Runtime refuses the model: {error}") from error


def run_clock(settings: RuntimeSettings) -> Callable[[], float]:
    """A clock, in seconds, by which a run's own work is timed.

    Where a run is this thread's alone it is the thread's processor time, which does not go on while other programs
    have the processor; else, the time of day.
    """
    alone = settings.threads == 1 and settings.provider == "CPUExecutionProvider"
    return time.thread_time if alone else time.perf_counter


class Session:
    """One loaded model. ``run`` blocks and may be called from several threads."""

    def __init__(self, model: bytes, settings: RuntimeSettings) -> None:
        """Load ``model``, an ONNX file's bytes.

        Raises:
            InvalidModelError: the runtime refuses the model or the provider is not there.
        """
        self._session = open_session(model, settings, session_options(settings))
        self._slowdown = settings.slowdown
        self._clock = run_clock(settings)
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once; a slow-down above 1 waits for the remaining time of the run's own work.

        Args:
            inputs: input name → array of the model's dtype and shape.

        Returns:
            Output name → array.
        """
        start = self._clock()
        outputs = self._session.run(self._outputs, dict(inputs))
        if self._slowdown > 1:
            time.sleep((self._clock() - start) * (self._slowdown - 1))
        return dict(zip(self._outputs, outputs, strict=True))

    def warm(self, specs: tuple[TensorSpec, ...]) -> None:
        """Run once on zeros, so that the first request finds memory and kernels ready."""
        self._session.run(self._outputs, {spec.name: np.zeros(spec.shape, spec.dtype) for spec in specs})
