"""How long a search may take, and who may end it sooner."""

import math
import time
from collections.abc import Callable

SHARED = 0.9
"""Part of a time limit that is given out, for a step that has begun is finished."""

ASKED_SECONDS = 0.01
"""How often at most to ask whether to stop."""


class OutOfTimeError(Exception):
    """The time was up in the midst of a step; what it had is lost, what was known before still holds."""


def never() -> bool:
    """Do not stop."""
    return False


class Clock:
    """What is left of a time limit.

    Args:
        seconds: the limit; ``None`` is none.
        stopped: whether somebody wants the search to end at once; from then on no time is left.
    """

    def __init__(self, seconds: float | None, stopped: Callable[[], bool] = never) -> None:
        self._begin = time.perf_counter()
        self._limit = math.inf if seconds is None else SHARED * seconds
        self._reserve = 0.0
        self._stopped = stopped
        self._is_stopped = False
        self._asked_at = -math.inf

    def reserve(self, seconds: float) -> None:
        """Leave these out of what is shared from now on."""
        self._reserve = seconds

    @property
    def elapsed(self) -> float:
        """Seconds since the clock was made."""
        return time.perf_counter() - self._begin

    @property
    def stopped(self) -> bool:
        """Whether the search was asked to end."""
        now = time.perf_counter()
        if not self._is_stopped and now > self._asked_at + ASKED_SECONDS:
            self._asked_at = now
            self._is_stopped = self._stopped()
        return self._is_stopped

    @property
    def left(self) -> float:
        """Seconds left; infinite without a limit."""
        return 0.0 if self.stopped else max(0.0, self._limit - self._reserve - self.elapsed)

    def share(self, parts: int) -> float | None:
        """An equal share of the seconds left for each of ``parts`` tasks still to do; ``None`` without a limit."""
        left = self.left
        return None if math.isinf(left) else left / parts


class Deadline:
    """When the step under way must end, which its loops look at.

    Args:
        clock: stops it too.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._end = math.inf

    def set(self, seconds: float) -> None:
        """Begin a step that may take so long."""
        self._end = time.perf_counter() + seconds

    @property
    def passed(self) -> bool:
        """Whether the step must end now."""
        return time.perf_counter() > self._end or self._clock.stopped

    def check(self) -> None:
        """Go on if there is time.

        Raises:
            OutOfTimeError: there is none.
        """
        if self.passed:
            raise OutOfTimeError


def unhurried() -> None:
    """The check of a step that has all the time in the world."""
