"""One progress of several things, so that equal parts of it take about equal times."""

from collections.abc import Mapping

from core.progress import Progress


class WeightedProgress:
    """Combines progresses that run one after another or side by side.

    Args:
        progress: told the fraction of all seconds, and the message of the part that has just moved.
        seconds: name → about how long that part will take.
    """

    def __init__(self, progress: Progress, seconds: Mapping[str, float]) -> None:
        self._progress = progress
        self._seconds = seconds
        self._fractions = dict.fromkeys(seconds, 0.0)

    def part(self, name: str) -> Progress:
        """The progress of one part; a name that was not given moves nothing."""

        def step(fraction: float, message: str) -> None:
            if name in self._fractions:
                self._fractions[name] = max(self._fractions[name], fraction)
            done = sum(self._seconds[part] * value for part, value in self._fractions.items())
            self._progress(done / (sum(self._seconds.values()) or 1.0), message)

        return step
