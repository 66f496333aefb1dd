"""How long each thing takes that a progress tells of."""

import re
import time
from collections.abc import Callable

from core.progress import Progress

_COUNTS = re.compile(r"\b\d+(\.\d+)?\b")


class PhaseClock:
    """A progress that takes times on the way to another.

    The time from one message to the next is that of the phase which the first one names; messages that differ only in
    their numbers are one phase. Before the first message the phase is ``starting``.
    """

    def __init__(self, progress: Progress, clock: Callable[[], float] = time.perf_counter) -> None:
        self._progress = progress
        self._clock = clock
        self._phase = "starting"
        self._since = clock()
        self.seconds: dict[str, float] = {}
        """Seconds of every phase that has ended, in the order in which they began."""

    def __call__(self, fraction: float, message: str) -> None:
        """Pass it on; a new message ends the phase before it."""
        phase = _COUNTS.sub("…", message)
        if phase != self._phase:
            self.stop()
            self._phase = phase
        self._progress(fraction, message)

    def stop(self) -> None:
        """End the phase under way."""
        now = self._clock()
        self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + now - self._since
        self._since = now
